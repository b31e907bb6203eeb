// SPDX-License-Identifier: Apache-2.0

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

    /// Starts it.
    ///
    /// - Throws: `engineFailed` with the error number, where the system has no thread to give.
    package init(_ run: @escaping @Sendable () -> Void) throws(DMAError) {
        // A thread inherits the mask that it is made under.
        var all = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        let body = unsafe Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                // Exactly one reference was passed on, and only here is it taken.
                if let argument = unsafe argument { unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, unsafe body.toOpaque())
        guard failure == 0 else {
            unsafe body.release()
            throw DMAError(.engineFailed, errno: failure)
        }
        self.thread = thread
    }

    /// Waits for its end; once, however often it is called.
    package func join() {
        let isFirst = isJoined.withLock { isJoined in
            defer { isJoined = true }
            return !isJoined
        }
        if isFirst { pthread_join(thread, nil) }
    }

    // Nobody will wait for it: the system forgets it when it ends.
    deinit { if isJoined.withLock({ !$0 }) { pthread_detach(thread) } }
}
