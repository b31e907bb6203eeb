// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit
internal import DMAThreads
public import DMATypes

/// A thread that raises interrupt lines when events are signalled: between what the kernel, a device or a peer signals, and the tasks and
/// threads that wait on an `InterruptLine`.
///
/// One thread serves any number of events, by epoll(7). It sleeps while nothing is signalled.
///
/// Two kinds of line:
/// - Each signal is an interrupt, as from an MSI-X vector: the watcher raises the line. Signals that came before it looked are one.
/// - Only the engine can say what an interrupt is, as where an io_uring signals for each completion: with `hasMore` the watcher resumes the tasks
///   that are suspended on the line, and the engine looks and raises. A task that looked a moment before the signal and suspends a moment after
///   it is resumed too: the watcher looks again, at growing intervals up to 2 ms, until it has resumed a task or `hasMore` says that there is
///   nothing to look at.
///
/// Any thread may call anything. The thread ends when nobody holds the watcher any more. In a child of fork(2), where that thread is not, adding is
/// refused.
public final class EventWatcher: Sendable {
    private let loop: WatchLoop
    private let thread: NativeThread

    /// Starts the thread.
    ///
    /// - Throws: `kernelRefused` for want of a descriptor, `engineFailed` for want of a thread.
    public init() throws(DMAError) {
        let loop = try WatchLoop()
        thread = try NativeThread { loop.run() }
        self.loop = loop
    }

    deinit { stop() }

    /// From now on wakes those who wait on `line` when `event` is signalled. A signal from before is not lost.
    ///
    /// - Parameters:
    ///   - event: watched once at a time.
    ///   - line: may be that of several events.
    ///   - hasMore: whether there is something that the engine has not taken; nil: each signal is an interrupt. Called on the watcher's thread; it must
    ///     not wait, and must not hold the watcher.
    /// - Throws: `kernelRefused`: EEXIST for an event that is watched already, ENOSPC beyond /proc/sys/fs/epoll/max_user_watches. `usedAfterFork`.
    ///   `terminating` after the end of the thread.
    public func add(
        _ event: EventDescriptor, _ line: InterruptLine, hasMore: (@Sendable () -> Bool)? = nil
    ) throws(DMAError) {
        try loop.add(WatchLoop.Source(event: event, line: line, hasMore: hasMore))
    }

    /// Watches `event` no longer. When it returns, the line is not raised for it any more and `hasMore` is not called: what that looks at may go.
    /// It waits for a call that is under way, but not where the watcher's own thread calls it. Nothing happens where the event is not watched.
    public func remove(_ event: EventDescriptor) { loop.remove(event, waits: !thread.isCurrent) }

    /// Ends the thread, and waits for that. Nothing is raised any more.
    package func stop() {
        guard loop.stop() else { return }
        thread.join()
    }
}
