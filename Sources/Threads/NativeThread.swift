// SPDX-License-Identifier: Apache-2.0

internal import CDMA
package import DMATypes

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A thread of an engine's or a tool's own: what blocks or polls must not occupy the pool that runs tasks.
///
/// It takes none of the process's signals: those are the program's business.
@safe
package final class NativeThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private let thread: pthread_t
    private let isJoined = Locked(false)
    /// The fork generation of the process that it runs in. In a child of fork(2) it is not there, and its handle names nothing.
    private let generation = cdma_fork_generation()

    /// Starts it.
    ///
    /// - Throws: `engineFailed` with the error number, where the system has no thread to give.
    // SAFETY: the C functions write the local sets that they are given. One reference to the body is passed to the thread, which
    // takes it back as it starts; where no thread starts, it is released here.
    package init(_ run: @escaping @Sendable () -> Void) throws(DMAError) {
        // A thread inherits the mask that it is made under.
        var all = sigset_t()
        var before = sigset_t()
        guard unsafe sigfillset(&all) == 0 else { throw DMAError(.engineFailed, errno: errno) }
        let masked = unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
        guard masked == 0 else { throw DMAError(.engineFailed, errno: masked) }
        let body = unsafe Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                // Exactly one reference was passed on, and only here is it taken.
                if let argument = unsafe argument { unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, unsafe body.toOpaque())
        let unmasked = unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        guard failure == 0 else {
            unsafe body.release()
            throw DMAError(.engineFailed, errno: failure)
        }
        self.thread = thread
        // The caller's thread would be deaf to signals from here on; the new one ends by itself, and `deinit` lets it go.
        guard unmasked == 0 else { throw DMAError(.engineFailed, errno: unmasked) }
    }

    /// Whether the caller runs on it.
    package var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

    /// Waits for its end; once, however often it is called, and not in a child of fork(2). Returns false where it has not ended: a thread cannot wait for itself.
    @discardableResult
    package func join() -> Bool {
        let isFirst = isJoined.withLock { isJoined in
            defer { isJoined = true }
            return !isJoined
        }
        guard isFirst, generation == cdma_fork_generation() else { return true }
        if pthread_join(thread, nil) == 0 { return true }
        // Nobody waits for it any more, and there is nothing to do where the system has forgotten it already.
        _ = pthread_detach(thread)
        return false
    }

    // Nobody will wait for it: the system forgets it when it ends.
    deinit {
        guard generation == cdma_fork_generation(), isJoined.withLock({ !$0 }) else { return }
        // It fails for a thread that is not there any more, and then there is nothing to let go of.
        _ = pthread_detach(thread)
    }
}
