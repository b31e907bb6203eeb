// SPDX-License-Identifier: Apache-2.0

internal import DMAConformance
package import DMACore
package import DMAEngineKit

/// Faults of a device that an engine passes on: each is injected between a real engine and the channel above it.
package enum InjectedFault: String, Hashable, Sendable, Codable, CaseIterable {
    /// A transfer is reported as failed.
    case failure
    /// A completion has an unassigned tag.
    case unknownTag
    /// A completion is reported twice.
    case twice
    /// An undefined status.
    case badStatus
    /// A residue beyond the length.
    case badResidue
    /// The queue reports that it is full, and is not.
    case refusal
    /// A completion is never reported.
    case lost
    /// A completion overtakes the previous one.
    case overtaken

    /// A description for a table.
    package var title: String {
        switch self {
        case .failure: "transfer reported as failed"
        case .unknownTag: "completion of nothing"
        case .twice: "completion repeated"
        case .badStatus: "undefined status"
        case .badResidue: "residue beyond the length"
        case .refusal: "queue refuses"
        case .lost: "completion lost"
        case .overtaken: "completion overtaken"
        }
    }
}

/// A real engine whose reports are corrupted, about one in four, depending on a seed. The data is moved correctly.
package struct InjectingEngine: ~Copyable, Engine {
    package var addressing: EngineAddressing { base.addressing }
    package var isGone: Bool { base.isGone }
    package mutating func willBeParked() { base.willBeParked() }
    private var base: AnyEngine
    private let fault: InjectedFault
    private var random: SeededRandom
    /// Reports that come next, before the engine's own.
    private var pending: [Completion] = []
    /// Whether there is something to report that the channel has not taken.
    package var isPending: Bool { !pending.isEmpty }
    private var kept: Completion?
    /// Transactions that the engine has accepted and not reported.
    private var inside = 0
    /// Completions that were lost, since the last termination.
    private var withheld = 0
    /// How often the fault was injected.
    package private(set) var injected = 0
    /// Whether only a termination will produce further completions: known, not inferred from a silence, which on a busy machine
    /// may be long.
    package var isMute: Bool { withheld > 0 && inside == 0 && pending.isEmpty }

    package init(_ base: consuming AnyEngine, _ fault: InjectedFault, seed: UInt64) {
        self.base = base
        self.fault = fault
        random = SeededRandom(seed: seed)
    }

    private mutating func strikes() -> Bool {
        guard random.next() & 3 == 0 else { return false }
        injected += 1
        return true
    }

    package var capabilities: Capabilities { base.capabilities }
    package var interruptLine: InterruptLine? { base.interruptLine }

    @unsafe package mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if fault == .refusal, strikes() { return .full }
        // SAFETY: the caller vouches for the descriptor, which is passed on unchanged.
        let result = unsafe base.enqueue(descriptor, tag: tag)
        if case .accepted = result { inside += 1 }
        return result
    }

    package mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try base.checkCommand(descriptor) }
    package mutating func issuePending() { base.issuePending() }

    package mutating func next() -> Completion? {
        if !pending.isEmpty { return pending.removeFirst() }
        guard var completion = base.next() else {
            // No completion overtakes the last one, which was held back in vain. The others wait for their successor, however
            // slow.
            guard inside == 0, let last = kept.take() else { return nil }
            injected -= 1
            return last
        }
        inside -= 1
        if let before = kept.take() {
            pending.append(before)
            return completion
        }
        guard fault != .refusal, strikes() else { return completion }
        switch fault {
        case .failure:
            completion.status = TransactionStatus.writeFailed.rawValue
        case .unknownTag:
            pending.append(completion)
            completion.tag ^= 0x5555_0000
        case .twice:
            pending.append(completion)
        case .badStatus:
            completion.status = 200
        case .badResidue:
            completion.residue = .max
        case .lost:
            withheld += 1
            return next()
        case .overtaken:
            kept = completion
            return next()
        case .refusal:
            break
        }
        return completion
    }

    package mutating func terminate() { base.terminate() }
    package mutating func quiesce(by deadline: Deadline) -> Bool {
        guard base.quiesce(by: deadline) else { return false }
        (inside, withheld) = (0, 0)
        return true
    }
    package mutating func pause() -> Bool { base.pause() }
    package mutating func resume() -> Bool { base.resume() }
    package mutating func residue(of tag: UInt32) -> UInt64? { base.residue(of: tag) }
    package mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) { try base.configure(configuration) }
    package mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try base.attach(file) }
    package mutating func detach(_ number: UInt32) throws(DMAError) { try base.detach(number) }
    package mutating func wait(until deadline: Deadline) -> Bool { base.wait(until: deadline) }
}
