// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// One flaw in an otherwise correct engine, which a conformance suite must find.
public enum Flaw: String, CaseIterable, Sendable {
    // Moved bytes
    /// The last byte of every transfer is left out.
    case lastByteLost
    /// One byte in the middle of the destination is wrong.
    case byteChanged
    /// One byte too many is written.
    case oneTooMany
    /// The source is changed.
    case sourceChanged
    /// Written four bytes late.
    case shifted
    /// Fills begin with the pattern's second byte.
    case patternTurned
    /// CRC values have a wrong bit.
    case wrongValue
    /// Validation always succeeds.
    case validatesAll
    /// P and Q failures are confused.
    case confusesPAndQ
    /// ``DescriptorFlags/continue`` is ignored.
    case ignoresContinue
    /// Interleaved transfers leave the gaps out.
    case ignoresGaps
    /// The last segment of a list is left out.
    case lastSegmentLost
    // Reports
    /// Residues of running transactions are one byte short of the truth.
    case residueOffByOne
    /// Residues of running transactions are always 0.
    case residueZero
    /// Complete with a residue.
    case completeWithResidue
    /// Failures are reported as success.
    case hidesFailure
    /// Declares in-order completion, and completes out of order.
    case claimsOrder
    /// Loses a completion now and then.
    case losesCompletion
    /// Completes twice.
    case completesTwice
    /// Terminated transactions are reported complete.
    case completesTerminated
    // Timing
    /// Starts at submit.
    case startsAtSubmit
    /// Raises no interrupt.
    case noInterrupt
    /// Raises one for every transaction.
    case interruptsAlways
    /// Fences are ignored.
    case ignoresFence
    /// Writes to memory after it has reported that it has stopped.
    case writesAfterStop
    /// Writes a completed transaction again, some polls later.
    case runsTwice
    /// Continues while paused.
    case pauseRunsOn
    /// The first completion after a pause is lost.
    case pauseLoses
    /// Never stops within a deadline.
    case neverQuiesces
    /// Configuration affects transactions submitted before.
    case configuresEarlier
    /// Metadata is returned unchanged.
    case ignoresMetadata
    /// Accepts fewer than its depth.
    case shallow
    /// Periods are reported one too early.
    case earlyPeriods
}

/// A correct engine with one flaw between it and its channel.
public struct FlawedEngine<Base: Engine & ~Copyable>: ~Copyable, Engine {
    public var addressing: EngineAddressing { base.addressing }
    public var isGone: Bool { base.isGone }
    public mutating func willBeParked() { base.willBeParked() }
    public var base: Base
    public let flaw: Flaw
    private let silentLine = InterruptLine()
    private var descriptors: [UInt32: Descriptor] = [:]
    private var doubled: Completion?
    private var postponed: [(Descriptor, UInt32)] = []
    private var isPaused = false
    private var losesNext = false
    private var number = 0
    private var pollsSinceStop = 0
    private var stopped: [Descriptor] = []

    public init(_ base: consuming Base, _ flaw: Flaw) {
        self.base = base
        self.flaw = flaw
    }

    public var capabilities: Capabilities {
        var capabilities = base.capabilities
        if flaw == .claimsOrder { capabilities.completesInOrder = true }
        if flaw == .ignoresFence { capabilities.flags.insert(.fence) }
        return capabilities
    }

    public var interruptLine: InterruptLine? { flaw == .noInterrupt ? silentLine : base.interruptLine }

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if flaw == .shallow, descriptors.count >= 2 { return .full }
        if flaw == .configuresEarlier {
            postponed.append((descriptor, tag))
            descriptors[tag] = descriptor
            return .accepted
        }
        guard case .accepted = unsafe base.enqueue(bend(descriptor), tag: tag) else { return .full }
        descriptors[tag] = descriptor
        if flaw == .startsAtSubmit { base.issuePending() }
        return .accepted
    }

    private func bend(_ descriptor: Descriptor) -> Descriptor {
        var bent = descriptor
        switch flaw {
        case .lastByteLost where bent.count > 1 && bent.kind != .cyclic: bent.count -= 1
        case .oneTooMany where [.copy, .fill].contains(bent.kind): bent.count += 1
        case .shifted where bent.kind == .copy: bent.destination += 4
        case .patternTurned: bent.value = bent.value >> 8 | bent.value << 56
        case .ignoresContinue: bent.flags.remove(.continue)
        case .ignoresFence: bent.flags.remove(.fence)
        case .ignoresGaps: bent.detail[2] = 0
        case .lastSegmentLost where bent.kind == .scatterGather && bent.sourceCount > 1:
            bent.count -= bent.sourceSegment(Int(bent.sourceCount) - 1).count
        case .ignoresMetadata: unsafe bent.metadata = nil
        default: break
        }
        return bent
    }

    public mutating func issuePending() {
        for (descriptor, tag) in postponed { _ = unsafe base.enqueue(descriptor, tag: tag) }
        postponed.removeAll()
        base.issuePending()
    }

    public mutating func next() -> Completion? {
        scribble()
        if let completion = doubled.take() { return completion }
        if isPaused, flaw == .pauseRunsOn { _ = base.resume() }
        guard var completion = base.next() else { return nil }
        guard let descriptor = descriptors[completion.tag] else { return completion }
        number += 1
        if !completion.isPeriod { descriptors[completion.tag] = nil }
        if losesNext {
            losesNext = false
            return nil
        }
        switch flaw {
        // Of a list only the first byte is certain to exist.
        case .byteChanged: poke(descriptor.destination, unsafe descriptor.operands == nil ? descriptor.count / 2 : 0)
        case .sourceChanged: poke(descriptor.source, 0)
        case .wrongValue: completion.value ^= 0x100
        case .validatesAll where descriptor.kind == .xorValidate || descriptor.kind == .pqValidate: completion.value = 0
        case .confusesPAndQ where descriptor.kind == .pqValidate:
            completion.value = completion.value & 1 << 1 | completion.value >> 1 & 1
        case .completeWithResidue where descriptor.count > 0: completion.residue = 1
        case .hidesFailure: completion.status = TransactionStatus.complete.rawValue
        case .losesCompletion where number % 5 == 3: return nil
        case .runsTwice:
            stopped = [descriptor]
            pollsSinceStop = 0
        case .completesTwice: doubled = completion
        case .interruptsAlways: base.interruptLine?.raise()
        case .earlyPeriods where completion.isPeriod: completion.value += 1
        default: break
        }
        return completion
    }

    /// Inverts one byte, in memory that the transaction just reported still owns.
    private func poke(_ address: UInt64, _ offset: UInt64) {
        guard address != 0 else { return }
        guard let byte = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(address + offset)) else { return }
        unsafe byte.pointee ^= 0x01
    }

    /// Writes, some polls after it has reported that it stopped, to its earlier destination.
    private mutating func scribble() {
        guard flaw == .writesAfterStop || flaw == .runsTwice, !stopped.isEmpty else { return }
        pollsSinceStop += 1
        guard pollsSinceStop == 40 else { return }
        // Tests of these flaws keep the memory of terminated and ended transactions.
        for descriptor in stopped { poke(descriptor.destination, 0) }
        stopped.removeAll()
    }

    public mutating func terminate() { base.terminate() }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        let open = descriptors
        descriptors.removeAll()
        isPaused = false
        switch flaw {
        case .neverQuiesces:
            _ = base.quiesce(by: deadline)
            return false
        case .writesAfterStop:
            stopped = open.values.filter { $0.kind == .copy || $0.kind == .fill }
            pollsSinceStop = 0
        // The memory of ended transactions is kept for the channel's lifetime at most.
        case .runsTwice: stopped = []
        case .completesTerminated:
            let answer = base.quiesce(by: deadline)
            doubled = open.keys.min().map { Completion(tag: $0) }
            return answer
        default: break
        }
        return base.quiesce(by: deadline)
    }

    public mutating func pause() -> Bool {
        isPaused = base.pause()
        losesNext = flaw == .pauseLoses
        return isPaused
    }

    public mutating func resume() -> Bool {
        isPaused = false
        return base.resume()
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        let said = base.residue(of: tag)
        switch flaw {
        case .residueOffByOne: return said.map { $0 == 0 ? 0 : $0 - 1 }
        case .residueZero: return 0
        default: return said
        }
    }

    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        try base.configure(configuration)
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        flaw == .noInterrupt ? silentLine.wait(after: 0, until: deadline) : base.wait(until: deadline)
    }
}
