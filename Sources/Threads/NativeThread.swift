// SPDX-License-Identifier: Apache-2.0

internal import CDMA
package import DMATypes

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A thread owned by an engine or a tool: code that blocks or polls must not occupy the pool that runs tasks.
///
/// It blocks all signals: the program's own threads handle them.
@safe
package final class NativeThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private let thread: pthread_t
    private let isJoined = Locked(false)
    /// The fork generation of the process that the thread runs in. In a child of fork(2) the thread does not exist, and its
    /// handle is meaningless.
    private let generation = cdma_fork_generation()

    /// Starts the thread.
    ///
    /// - Throws: `engineFailed` with the error number where the system cannot create a thread.
    // SAFETY: the C functions write the local sets that they are given. One reference to the body is passed to the thread,
    // which takes it over when it starts; where no thread starts, it is released here.
    package init(_ run: @escaping @Sendable () -> Void) throws(DMAError) {
        // A thread inherits the signal mask of its creator.
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
                // Exactly one reference was passed, and it is taken over only here.
                if let argument = unsafe argument { unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, unsafe body.toOpaque())
        let unmasked = unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        guard failure == 0 else {
            unsafe body.release()
            throw DMAError(.engineFailed, errno: failure)
        }
        self.thread = thread
        // Without its mask the caller's thread would receive no signals from here on. The new thread ends by itself, and
        // `deinit` detaches it.
        guard unmasked == 0 else { throw DMAError(.engineFailed, errno: unmasked) }
    }

    /// Whether the caller runs on this thread.
    package var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

    /// Joins the thread, once, however often it is called, and not in a child of fork(2). Returns false where it has not ended,
    /// because a thread cannot join itself.
    @discardableResult
    package func join() -> Bool {
        let isFirst = isJoined.withLock { isJoined in
            defer { isJoined = true }
            return !isJoined
        }
        guard isFirst, generation == cdma_fork_generation() else { return true }
        if pthread_join(thread, nil) == 0 { return true }
        // The thread is joined or detached from here on; where the system no longer knows it, there is nothing to do.
        _ = pthread_detach(thread)
        return false
    }

    // Nothing will join it: the system frees it when it ends.
    deinit {
        guard generation == cdma_fork_generation(), isJoined.withLock({ !$0 }) else { return }
        // It fails for a thread that no longer exists, and then there is nothing to detach.
        _ = pthread_detach(thread)
    }
}
