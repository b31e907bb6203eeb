// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The violations of a ``HostileEngine``.
public enum Misdeed: String, CaseIterable, Sendable {
    /// Reports each transaction twice.
    case completesTwice
    /// Reports nothing.
    case neverCompletes
    /// Reports the last first, though it declares in-order completion.
    case reversesOrder
    /// Reports tags with more bits than it declares.
    case unknownTags
    /// Reports tags of other generations of the same slot.
    case staleTags
    /// Reports tags of slots that have nothing in flight.
    case foreignSlots
    /// Reports a residue beyond the length.
    case hugeResidue
    /// Reports an undefined status.
    case badStatus
    /// Reports that a transaction is in progress, as its end.
    case unfinishedStatus
    /// Completes transactions that were not issued.
    case completesBeforeIssue
    /// Completes terminated transactions, after it reported that it had stopped.
    case completesAfterTermination
    /// Always has one more completion to report.
    case floods
    /// Reports that it cannot stop.
    case refusesToQuiesce
    /// Has no room although its declared depth promises it.
    case refusesToEnqueue
    /// Reports periods, in unbounded numbers, of transactions without periods.
    case reportsPeriods
    /// Reports everything at once as an end and a period, failed and with extreme values.
    case contradicts
    /// Refuses to pause and resume, though its capabilities include it.
    case refusesToPause
}

/// A hostile engine. It moves no byte: it only tests the channel.
public struct HostileEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    public let misdeed: Misdeed
    private var queued: [UInt32] = []
    private var ready: [Completion] = []
    private var terminated: [UInt32] = []
    private var number: UInt64 = 0
    /// Calls of ``next()`` so far, so that a test sees that its channel polls a bounded number of times.
    public private(set) var polls = 0

    public init(_ misdeed: Misdeed) { self.misdeed = misdeed }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "hostile", implementation: misdeed.rawValue, operations: [.copy, .fill, .cyclic, .null], depth: 8)
        capabilities.tagBits = 16
        capabilities.canPause = true
        return capabilities
    }

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if misdeed == .refusesToEnqueue, queued.count % 2 == 1 { return .full }
        queued.append(tag)
        if misdeed == .completesBeforeIssue { ready.append(Completion(tag: tag)) }
        return .accepted
    }

    public mutating func issuePending() {
        for tag in queued {
            terminated.append(tag)
            var completion = Completion(tag: tag)
            switch misdeed {
            case .completesTwice: ready.append(completion)
            case .neverCompletes, .refusesToQuiesce, .completesAfterTermination, .refusesToPause: continue
            case .unknownTags: completion.tag |= 1 << 20
            case .staleTags: completion.tag ^= 1 << 15
            case .foreignSlots: completion.tag ^= 4
            case .hugeResidue: completion.residue = .max
            case .badStatus: completion.status = 200
            case .unfinishedStatus: completion.status = TransactionStatus.inProgress.rawValue
            case .reportsPeriods:
                completion.isPeriod = true
                completion.value = .max
            case .contradicts:
                ready.append(Completion(tag: tag, status: .readFailed, isPeriod: true, residue: .max, value: .max))
                completion = Completion(tag: tag, status: .failed, residue: .max, value: .max)
            case .reversesOrder:
                ready.insert(completion, at: 0)
                continue
            default: break
            }
            ready.append(completion)
        }
        queued.removeAll()
    }

    public mutating func next() -> Completion? {
        polls += 1
        if misdeed == .floods {
            number &+= 0x9e37
            return Completion(tag: UInt32(truncatingIfNeeded: number & 0xffff), residue: number)
        }
        return ready.isEmpty ? nil : ready.removeFirst()
    }

    public mutating func terminate() {}

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        queued.removeAll()
        if misdeed == .completesAfterTermination {
            // Reported later, after it reported that everything has ended.
            late = terminated.map { Completion(tag: $0) }
        }
        terminated.removeAll()
        return misdeed != .refusesToQuiesce
    }

    private var late: [Completion] = []
    /// Releases the late completions of ``Misdeed/completesAfterTermination``.
    public mutating func releaseLate() {
        ready += late
        late.removeAll()
    }

    public mutating func pause() -> Bool { misdeed != .refusesToPause }
    public mutating func resume() -> Bool { misdeed != .refusesToPause }
    public mutating func residue(of tag: UInt32) -> UInt64? { .max }
}
