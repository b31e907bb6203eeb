// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// How a channel shares the bus: the classic modes of DMA controllers, as a policy on any engine.
///
/// Source: Intel 8237A data sheet, "Transfer modes" (block, single, demand).
public enum TransferMode: Sendable {
    /// Everything at once, at the engine's full speed: the 8237A's block mode.
    case burst
    /// A quantum, then a pause, so that the engine is at work for `share` of the time: above 0, at most 1.
    case cycleStealing(share: Double)
    /// A quantum whenever the other side requests data, and only as much as it requests.
    case demand(DemandLine)
}

/// The request line of a demand-mode channel: the number of bytes that the other side is ready for. DREQ, with a count.
///
/// Any thread may use it.
public final class DemandLine: Sendable {
    private let credit = Locked<UInt64>(0)
    private let line = InterruptLine()

    /// A line without a request.
    public init() {}

    /// Requests that many further bytes. Sums beyond 64 bits saturate.
    public func request(_ bytes: UInt64) {
        credit.withLock { credit in
            let (sum, overflow) = credit.addingReportingOverflow(bytes)
            credit = overflow ? .max : sum
        }
        line.raise()
    }

    /// Withdraws the request for bytes that were not moved yet.
    public func withdraw() { credit.withLock { $0 = 0 } }

    /// Bytes requested and not yet moved.
    public var requested: UInt64 { credit.withLock { $0 } }

    /// Takes the largest multiple of `grain` from the request, at most `bytes`.
    func take(_ grain: UInt64, atMost bytes: UInt64) -> UInt64 {
        credit.withLock { credit in
            let taken = min(credit, bytes) / grain * grain
            credit -= taken
            return taken
        }
    }

    /// Returns bytes that an engine did not move after all.
    func giveBack(_ bytes: UInt64) {
        credit.withLock { credit in
            let (sum, overflow) = credit.addingReportingOverflow(bytes)
            credit = overflow ? .max : sum
        }
    }

    func wait(until deadline: Deadline) -> Bool {
        let seen = line.count
        if requested > 0 { return true }
        return line.wait(after: seen, until: deadline) && requested > 0
    }
}
