// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A thread of this process's own: the pool that runs tasks must not be blocked by loops that poll.
@safe
struct BenchThread: ~Copyable {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private var thread: pthread_t

    /// Starts one. Nil where the kernel has no room for another.
    init?(_ run: @escaping @Sendable () -> Void) {
        thread = pthread_t()
        let body = unsafe Unmanaged.passRetained(Body(run))
        let failed = unsafe pthread_create(
            &thread, nil,
            { argument in
                // Exactly one reference was passed on, and only here is it taken.
                if let argument = unsafe argument { unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, unsafe body.toOpaque())
        if failed != 0 {
            unsafe body.release()
            return nil
        }
    }

    /// Lets it go on by itself; it says when it is over.
    consuming func leave() { pthread_detach(thread) }
}
