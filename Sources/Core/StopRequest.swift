// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// How work that takes long is told to end early, with what it has: a measurement, a conformance suite, a self-test.
///
/// It is no cancellation of a task: that reaches every `await`, also one on a transfer, which would then seem to have failed. Work that was
/// given a request says when it looks at it, and what its answer lacks after a stop.
///
/// Any thread may use it. It is not for a signal's handler, which must take no lock.
package final class StopRequest: Sendable {
    private let line = InterruptLine()

    /// Nobody has asked yet.
    package init() {}

    /// Asks for the stop. Once asked, for ever: a second call changes nothing.
    package func stop() { line.raise() }

    /// Whether ``stop()`` was called. Costs a load.
    package var isStopped: Bool { line.count > 0 }

    /// Suspends until the stop, or until the task is cancelled; whether it was the stop.
    ///
    /// Nothing runs meanwhile: what is measured beside it is not disturbed.
    package func wait() async -> Bool {
        await line.wait(after: 0)
        return isStopped
    }
}

extension StopRequest? {
    /// Whether there is a request, and it was made.
    package var isStopped: Bool { self?.isStopped ?? false }
}
