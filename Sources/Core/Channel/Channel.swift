// SPDX-License-Identifier: Apache-2.0

/// A client's way to an engine: the kernel's `struct dma_chan`, with the ownership the kernel leaves to discipline.
///
/// A channel owns its engine and, from submission to the moment the completion is taken, the cargo of every transaction. It counts
/// cookies, checks requests before the engine sees them, and checks everything the engine says. Being noncopyable it is exclusive
/// (rule 1), used by one thread at a time, and released at the end of its scope.
///
/// The steady path — ``submit(_:_:)``, ``issuePending()``, ``next()`` — allocates nothing, counts no references, takes no lock.
///
/// Source: Documentation/driver-api/dmaengine/client.rst.
@frozen @safe
public struct Channel<E: Engine & ~Copyable, C: Cargo & ~Copyable>: ~Copyable {
    @usableFromInline var engine: E
    @usableFromInline let limits: ChannelLimits
    @usableFromInline let traits: ChannelTraits
    @usableFromInline let table: SlotTable<C>
    /// What is read and written off the steady path alone.
    @usableFromInline let records: UnsafeMutablePointer<SlotRecord>
    @usableFromInline let arena: SlotArena
    /// The next cookie, the first one not issued, and the one an in-order engine completes next. A transaction's slot and tag are the low
    /// bits of its cookie, so that the steady path keeps no list of free slots; where the slot of the next cookie is still taken,
    /// cookies are skipped.
    @usableFromInline var nextSequence: UInt64
    @usableFromInline var issuedEnd: UInt64
    @usableFromInline var expectedSequence: UInt64
    /// Which bits of a completion's cookie have to be the expected ones: all on an engine that completes in order.
    @usableFromInline var orderMask: UInt64
    /// The expected cookie, while a detour has its place.
    var parkedExpected: UInt64
    /// Why the channel is off its steady path, where it is. What the path itself looks at follows from it: ``ready``, and an
    /// ``expectedSequence`` that no completion has.
    @usableFromInline var detours: Detour { didSet { redirect(from: oldValue) } }
    /// What `submit` takes on the steady path: everything the engine does, or nothing while there is a detour.
    @usableFromInline var ready: OperationSet
    @usableFromInline var state: ChannelState
    @usableFromInline var faultCounts: EngineFaults
    @usableFromInline var done: SlotList
    @usableFromInline var held: SlotList
    @usableFromInline var fenceSequence: UInt64
    @usableFromInline var particularCount: Int
    @usableFromInline var reserved: SlotList
    @usableFromInline var periods: UInt64
    @usableFromInline var handed: HandedOut

    /// A channel over `engine`, whose cargo is mapped for `domain`.
    ///
    /// - Throws: `badConfiguration` where the engine's capabilities contradict themselves (a depth outside 1…32,768, tags too
    ///   short for the depth, and the like); the engine ends with the attempt.
    public init(_ engine: consuming E, domain: DomainID, of cargo: C.Type = C.self) throws(DMAError) {
        let capabilities = engine.capabilities
        let limits = try ChannelLimits(capabilities, domain: domain)
        self.engine = engine
        self.limits = limits
        traits = ChannelTraits(capabilities)
        unsafe records = .allocate(capacity: limits.slots)
        table = SlotTable(slots: limits.slots)
        unsafe records.initialize(repeating: SlotRecord(), count: limits.slots)
        arena = SlotArena(capabilities, slots: limits.slots)
        nextSequence = 1
        issuedEnd = 1
        ready = limits.operations
        expectedSequence = 1
        orderMask = limits.orderMask
        parkedExpected = 1
        detours = []
        state = .running
        faultCounts = EngineFaults()
        done = SlotList()
        held = SlotList()
        fenceSequence = 0
        particularCount = 0
        reserved = SlotList()
        periods = 0
        handed = HandedOut()
        if Sanitizer.isEnabled { detours.insert(.sanitize) }
        if capabilities.metadataCount > 0 { detours.insert(.metadata) }
        // No observer runs in an initializer.
        if !detours.isEmpty { ready = [] }
    }

    deinit {
        // The engine ends after this body. Memory that it can still touch is parked, not freed (rule 18).
        var engine = consume engine
        unsafe ChannelEnd<E, C>.run(
            &engine, records: records, table: table, arena: arena, slots: limits.slots)
    }
}

/// What a channel keeps of one slot beside the cookie, the count and the cargo.
@usableFromInline @frozen
struct SlotRecord {
    var residue: UInt64
    var value: UInt64
    /// By when, and once it is done, by how much it was late. `Int64.max` where there is no deadline.
    var deadline: Int64
    /// The next slot of the list that this one is in.
    var link: UInt32
    var status: TransactionStatus
    /// Over, and not taken yet.
    var isDone: Bool
    /// Behind a fence; the engine does not know of it.
    var isHeld: Bool
    /// Submitted with ``DescriptorFlags/reuse``.
    var isReusable: Bool
    /// Taken, and kept to be submitted again: there is no cargo.
    var isReserved: Bool
    var wasReportedLate: Bool
    /// The last transaction of this slot that came with metadata in client mode.
    var metadataSequence: UInt64

    @inlinable static var idle: UInt64 { .max }

    /// Whether nobody but the client, or nobody at all, still has the memory of the transaction in the slot.
    var isClosed: Bool { isDone || isReserved }

    init() {
        residue = 0
        value = 0
        deadline = .max
        link = .max
        status = .queued
        isDone = false
        isHeld = false
        isReusable = false
        isReserved = false
        wasReportedLate = false
        metadataSequence = 0
    }
}

/// Why a channel is off its steady path.
@usableFromInline @frozen
struct Detour: OptionSet {
    @usableFromInline let rawValue: UInt8
    @usableFromInline init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Finished transactions wait in the channel, taken from the engine by `poll`.
    @inlinable static var done: Detour { Detour(rawValue: 1) }
    /// A fence that the engine does not know holds later transactions back.
    @inlinable static var fence: Detour { Detour(rawValue: 2) }
    /// Some transaction carries a deadline or wants reuse: its record has more to be looked at.
    @inlinable static var particular: Detour { Detour(rawValue: 4) }
    /// Terminated and not yet synchronized: nothing is accepted.
    @inlinable static var terminating: Detour { Detour(rawValue: 8) }
    /// Every region is checked against the live mappings.
    @inlinable static var sanitize: Detour { Detour(rawValue: 16) }
    /// Each descriptor has a metadata area, which is wiped for it.
    @inlinable static var metadata: Detour { Detour(rawValue: 32) }
}

extension Detour {
    /// Whether completions are taken as they come; the sanitizer and metadata concern submissions alone.
    @inlinable
    var isSteady: Bool { isSubset(of: [.sanitize, .metadata]) }
}

/// Where a channel stands.
@frozen
public enum ChannelState: UInt8, Hashable, Sendable {
    /// Takes and does work.
    case running
    /// Keeps what it has, and does not go on with it.
    case paused
    /// Terminated; ``Channel/synchronize(by:)`` has yet to make sure that the device has stopped.
    case terminating
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// What the engine can do.
    public var capabilities: Capabilities { engine.capabilities }
    /// Where the channel stands.
    public var channelState: ChannelState { state }
    /// What the engine did that no honest one does.
    public var faults: EngineFaults { faultCounts }
    /// The address space that cargo must be mapped for (rule 3).
    public var domain: DomainID { limits.domain }
    /// Transactions submitted and not yet taken.
    public var inFlight: Int {
        var number = 0
        for slot in 0..<limits.slots {
            if unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isReserved { number += 1 }
        }
        return number
    }
    /// The engine's interrupt line, where it has one.
    public var interruptLine: InterruptLine? { engine.interruptLine }
    /// Interrupts raised since the engine was made (rule 14).
    public var interruptCount: UInt64 { engine.interruptLine?.count ?? 0 }

    /// Looks at the engine itself: its own statistics, say.
    @inlinable
    public func withEngine<R: ~Copyable, Failure: Error>(
        _ body: (borrowing E) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(engine)
    }

    /// Adjusts the engine itself, for what neither ``configure(_:)`` nor ``setMode(_:)`` can say.
    ///
    /// Unsafe, because the channel's promises rest on its engine: `body` must not exchange it, stop it or take completions from it while
    /// transactions are in flight, or their memory may be freed under a device that still writes it.
    @unsafe @inlinable
    public mutating func withUnsafeEngine<R: ~Copyable, Failure: Error>(
        _ body: (inout E) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(&engine)
    }

    /// Changes the transfer mode of a paced engine; the next quantum follows it.
    ///
    /// - Throws: `badShare`.
    public mutating func setMode<Base: Engine & ~Copyable>(_ mode: TransferMode) throws(DMAError) where E == PacedEngine<Base> {
        try engine.setMode(mode)
    }

    /// Sets what later transactions use: peripheral, width, burst, priority (rule 2). Those already submitted keep what they had.
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        try traits.check(configuration)
        try engine.configure(configuration)
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Gives the channel's engine one more peripheral, and says by which number ``PeripheralPlace`` names it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try engine.attach(file) }

    /// Lets go of a peripheral; its number may be given again.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    public mutating func detach(_ number: UInt32) throws(DMAError) { try engine.detach(number) }
}

// MARK: - Submit, issue, next

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Queues one operation on a cargo; starts nothing (rule 5).
    ///
    /// From here on the cargo is the channel's. It comes back in ``Finished`` or, where the request is refused, at once.
    /// Refusals: `queueFull`, `unsupportedOperation`, `unsupportedFlag`, `noSuchRegion`, `foreignDomain`, `noPermission`, `outOfRange`,
    /// `zeroLength`, `misaligned`, `overlappingRegions`, `lengthMismatch`, `tooManySources`, `tooManySegments`, `terminating`.
    @inlinable @inline(__always)
    public mutating func submit(_ operation: Operation, _ cargo: consuming C) -> Submission<C> {
        let sequence = nextSequence
        let slot = Int(truncatingIfNeeded: sequence & limits.indexMask)
        guard table.sequence(slot) == SlotRecord.idle, ready.contains(OperationSet(operation.kind)), operation.kind.isPlain,
            operation.flags.isSubset(of: limits.plainFlags), let descriptor = resolve(operation, cargo, slot: slot)
        else {
            // The fields one by one: handed over whole, the steady path would have to build the value in memory.
            return submitParticular(
                operation.kind, operation.flags, operation.source, operation.sourceCount, operation.destination,
                operation.destinationCount, operation.sourceOffset, operation.destinationOffset, operation.count,
                operation.value,
                operation.detail, cargo)
        }
        guard engine.enqueue(descriptor, tag: UInt32(truncatingIfNeeded: sequence)) else {
            return .refused(engineRefused(), cargo)
        }
        return .queued(
            accept(
                cargo, slot: slot, sequence: sequence, count: descriptor.count,
                asksInterrupt: operation.flags.contains(.interrupt)))
    }

    /// Queues a prepared transaction.
    @inlinable
    public mutating func submit(_ transaction: consuming Transaction<C>) -> Submission<C> {
        let operation = transaction.operation
        let deadline = transaction.deadline
        switch submit(operation, transaction.cargo) {
        case .queued(let cookie):
            if deadline != .never { setDeadline(deadline, of: cookie) }
            return .queued(cookie)
        case .refused(let error, let cargo):
            return .refused(error, cargo)
        }
    }

    @inlinable @inline(__always)
    mutating func accept(_ cargo: consuming C, slot: Int, sequence: UInt64, count: UInt64, asksInterrupt: Bool) -> Cookie {
        nextSequence = sequence &+ 1
        table.setSequence(slot, sequence)
        table.setCount(slot, count, asksInterrupt: asksInterrupt)
        unsafe table.cargo(slot).initialize(to: cargo)
        return Cookie(sequence)
    }

    /// Starts everything that is queued (rule 7).
    @inlinable
    public mutating func issuePending() {
        issuedEnd = nextSequence
        engine.issuePending()
    }

    /// The next finished transaction with its cargo, or nil. Never waits.
    @inlinable @inline(__always)
    public mutating func next() -> Finished<C>? {
        let place: UnsafeMutablePointer<C>
        var sequence: UInt64
        var value: UInt64 = 0
        var ending = Ending.plain
        steady: do {
            let found: Int
            if let completion = engine.next() {
                // Slots are a power of two, so that no tag names one that is not there. An idle record's sequence is never issued.
                let slot = Int(truncatingIfNeeded: UInt64(completion.tag) & limits.indexMask)
                sequence = table.sequence(slot)
                value = completion.value
                // A tag with more bits than the engine has is foreign too.
                let foreign = (sequence & limits.tagMask) ^ UInt64(completion.tag) | (sequence ^ expectedSequence) & orderMask
                if foreign == 0, sequence < issuedEnd, completion.residue == 0, !completion.isPeriod,
                    completion.status == TransactionStatus.complete.rawValue
                {
                    expectedSequence = sequence &+ 1
                    unsafe place = table.cargo(slot)
                    table.setSequence(slot, SlotRecord.idle)
                    break steady
                }
                found = nextDoubtful(
                    completion.tag, completion.status, completion.isPeriod, completion.residue, completion.value)
            } else {
                if detours.isSteady { return nil }
                found = nextParticular()
            }
            // Off the steady path the answer is a slot's number and what stands in `handed`: returned whole, it would have to be
            // built in memory on the steady path too.
            guard found >= 0 else { return nil }
            unsafe place = table.cargo(found)
            sequence = handed.sequence
            value = handed.value
            ending = handed.ending
        }
        return Finished(
            cookie: Cookie(sequence), status: ending.status, residue: ending.residue, value: value, lateness: ending.lateness,
            cargo: unsafe place.move())
    }
}

/// How a transaction ended, beside its value.
@usableFromInline @frozen
struct Ending {
    @usableFromInline var status: TransactionStatus
    @usableFromInline var residue: UInt64
    @usableFromInline var lateness: Int64
    @inlinable @inline(__always)
    init(status: TransactionStatus, residue: UInt64, lateness: Int64) {
        self.status = status
        self.residue = residue
        self.lateness = lateness
    }
    /// Complete, whole and in time.
    @inlinable @inline(__always)
    static var plain: Ending { Ending(status: .complete, residue: 0, lateness: 0) }
}

/// What a detour found to hand out.
@usableFromInline @frozen
struct HandedOut {
    @usableFromInline var sequence: UInt64 = 0
    @usableFromInline var value: UInt64 = 0
    @usableFromInline var ending = Ending.plain
    init() {}
}
