// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// How a channel takes its turns on the bus: the classic modes of DMA controllers, as a policy on any engine.
///
/// Source: Intel 8237A data sheet, "Transfer modes" (block, single, demand).
public enum TransferMode: Sendable {
    /// Everything at once, as fast as the engine goes: the 8237A's block mode.
    case burst
    /// A quantum, then a pause, so that the engine is at work for `share` of the time: above 0, at most 1.
    case cycleStealing(share: Double)
    /// A quantum whenever the other side asks for data, and only as much as it asks for.
    case demand(DemandLine)
}

/// The request line of a demand-mode channel: how many bytes the other side is ready for. DREQ, with a count.
///
/// Any thread may use it.
public final class DemandLine: Sendable {
    private let credit = Locked<UInt64>(0)
    private let line = InterruptLine()

    /// A line that is not asking.
    public init() {}

    /// The other side is ready for so many bytes more. Sums that leave 64 bits stay at the largest.
    public func request(_ bytes: UInt64) {
        credit.withLock { credit in
            let (sum, overflow) = credit.addingReportingOverflow(bytes)
            credit = overflow ? .max : sum
        }
        line.raise()
    }

    /// The other side is ready no longer: what was asked and not yet moved is withdrawn.
    public func withdraw() { credit.withLock { $0 = 0 } }

    /// Bytes asked for and not yet moved.
    public var requested: UInt64 { credit.withLock { $0 } }

    /// Takes as much of what was asked for as is a multiple of `grain`, at most `bytes`.
    func take(_ grain: UInt64, atMost bytes: UInt64) -> UInt64 {
        credit.withLock { credit in
            let taken = min(credit, bytes) / grain * grain
            credit -= taken
            return taken
        }
    }

    /// Gives back what an engine did not move after all.
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
