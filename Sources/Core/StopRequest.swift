// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// Tells long-running work to end early with partial results: a measurement, a conformance suite, a self-test.
///
/// It is not a task cancellation, which would affect every `await`, also one on a transfer, and make that appear to have
/// failed. Functions that accept a request document when they check it, and what their result lacks after a stop.
///
/// Any thread may use it, but no signal handler: it takes a lock.
package final class StopRequest: Sendable {
    private let line = InterruptLine()

    /// A request that was not made yet.
    package init() {}

    /// Requests the stop. Permanent: a second call changes nothing.
    package func stop() { line.raise() }

    /// Whether ``stop()`` was called. Costs one load.
    package var isStopped: Bool { line.count > 0 }

    /// Suspends until the stop, or until the task is cancelled; returns whether it was the stop.
    ///
    /// Nothing runs meanwhile, so that a measurement in progress is not disturbed.
    package func wait() async -> Bool {
        await line.wait(after: 0)
        return isStopped
    }
}

extension StopRequest? {
    /// Whether there is a request, and it was made.
    package var isStopped: Bool { self?.isStopped ?? false }
}
