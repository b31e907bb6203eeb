// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit
internal import DMAThreads
public import DMATypes

/// A thread that raises interrupt lines when events are signalled: it connects signals of the kernel, a device or a peer with
/// the tasks and threads that wait on an `InterruptLine`.
///
/// One thread serves any number of events, by epoll(7). It sleeps while nothing is signalled.
///
/// Two kinds of line:
/// - Each signal is an interrupt, as from an MSI-X vector: the watcher raises the line. Signals that arrive before it reads
///   them are merged.
/// - Only the engine can tell what an interrupt is, for instance where an io_uring signals each completion: with `hasMore` the
///   watcher resumes the tasks that are suspended on the line, and the engine polls and raises. A task that polled just before
///   the signal and suspends just after it is resumed too: the watcher checks again, at growing intervals up to 2 ms, until it
///   has resumed a task or `hasMore` returns false.
///
/// Any thread may call any function. The thread ends when the last reference to the watcher is released. In a child of fork(2),
/// where that thread does not exist, adding is refused.
public final class EventWatcher: Sendable {
    private let loop: WatchLoop
    private let thread: NativeThread

    /// Starts the thread.
    ///
    /// - Throws: `kernelRefused` where no descriptor is available, `engineFailed` where no thread is.
    public init() throws(DMAError) {
        let loop = try WatchLoop()
        thread = try NativeThread { loop.run() }
        self.loop = loop
    }

    deinit { stop() }

    /// Wakes the waiters on `line` whenever `event` is signalled. An earlier signal is not lost.
    ///
    /// - Parameters:
    ///   - event: can be watched once at a time.
    ///   - line: may serve several events.
    ///   - hasMore: whether there is something that the engine has not taken; nil: each signal is an interrupt. Called on the watcher's thread; it must
    ///     not wait, and must not hold the watcher.
    /// - Throws: `kernelRefused`: EEXIST for an event that is already watched, ENOSPC beyond
    ///   /proc/sys/fs/epoll/max_user_watches. `usedAfterFork`. `terminating` after the end of the thread.
    public func add(
        _ event: EventDescriptor, _ line: InterruptLine, hasMore: (@Sendable () -> Bool)? = nil
    ) throws(DMAError) {
        try loop.add(WatchLoop.Source(event: event, line: line, hasMore: hasMore))
    }

    /// Stops watching `event`. When it returns, the line is no longer raised for it and `hasMore` is not called again: its
    /// captures may be released. It waits for a call in progress, except when called on the watcher's own thread. Does nothing
    /// where the event is not watched.
    public func remove(_ event: EventDescriptor) { loop.remove(event, waits: !thread.isCurrent) }

    /// Ends the thread, and waits for that. No line is raised afterwards.
    package func stop() {
        guard loop.stop() else { return }
        thread.join()
    }
}
