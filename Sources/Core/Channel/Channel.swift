// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// A client's way to an engine: the kernel's `struct dma_chan`, with the ownership the kernel leaves to discipline.
///
/// A channel owns its engine and, from submission to the moment the completion is taken, the cargo of every transaction. It counts
/// cookies, checks requests before the engine sees them, and checks everything the engine says. Being noncopyable it is exclusive
/// (rule 1), used by one thread at a time, and released at the end of its scope.
///
/// The fast path — ``submit(_:_:)``, ``issuePending()``, ``next()`` — allocates nothing, counts no references, takes no lock.
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
    /// The next cookie, the first one not issued, and the one that an in-order engine completes next. A transaction's slot and tag are the
    /// low bits of its cookie. An in-order channel needs no list of free slots: the slot of the next cookie is free again by the time that it
    /// comes round; where it is not, cookies are skipped.
    @usableFromInline var nextSequence: UInt64
    @usableFromInline var issuedEnd: UInt64
    @usableFromInline var expectedSequence: UInt64
    /// Where the list of free slots begins, of a channel whose engine completes out of order: minus their number.
    @usableFromInline var freeIndex: Int
    /// The fork generation of the process that made the channel.
    @usableFromInline let generation: UInt32
    /// Tells this channel from every other of the process.
    let identifier: UInt64
    /// Keeps the domain alive, and knows whether its backend is dead.
    let space: Domain
    /// Why the channel is off its fast path, where it is. Changed by ``setSlow(_:)`` and ``clearSlow(_:)`` alone.
    @usableFromInline var slowPaths: SlowPath
    @usableFromInline var state: ChannelState
    @usableFromInline var faultCounts: EngineFaults
    @usableFromInline var done: SlotList
    @usableFromInline var held: SlotList
    @usableFromInline var fenceSequence: UInt64
    /// Transactions in flight or reserved whose records have to be looked at: those with a deadline, a reservation or periods.
    @usableFromInline var recordedCount: Int
    @usableFromInline var reserved: SlotList
    /// The last cookie behind which an in-order channel skipped some: while it is in flight, a taken slot does not mean a full channel.
    @usableFromInline var lastSkip: UInt64
    @usableFromInline var handed: HandedOut

    /// A channel over `engine`, whose cargo is mapped for `domain`.
    ///
    /// - Throws: `badConfiguration` where the engine's capabilities contradict themselves (a depth outside 1…32,768, tags too
    ///   short for the depth, and the like); `foreignEngine` where the engine's addresses are not those of `domain`. The engine ends then.
    public init(_ engine: consuming E, domain: Domain, of cargo: C.Type = C.self) throws(DMAError) {
        let capabilities = engine.capabilities
        try domain.checkAddressing(engine.addressing)
        let limits = try ChannelLimits(capabilities, order: E.order, domain: domain.id)
        table = try SlotTable(slots: limits.slots)
        self.engine = engine
        self.limits = limits
        traits = ChannelTraits(capabilities)
        // SAFETY: the slot memory is allocated here, for `limits.slots` slots, and freed by `ChannelEnd` in the one `deinit`.
        unsafe records = .allocate(capacity: limits.slots)
        unsafe records.initialize(repeating: SlotRecord(), count: limits.slots)
        arena = SlotArena(capabilities, slots: limits.slots)
        nextSequence = 1
        issuedEnd = 1
        expectedSequence = 1
        freeIndex = -limits.slots
        generation = cdma_fork_generation()
        identifier = Domain.nextIdentifier()
        space = domain
        slowPaths = []
        state = .running
        faultCounts = EngineFaults()
        done = SlotList()
        held = SlotList()
        fenceSequence = 0
        recordedCount = 0
        reserved = SlotList()
        lastSkip = 0
        handed = HandedOut()
        if Sanitizer.isEnabled { slowPaths.insert(.sanitize) }
        if capabilities.metadataCount > 0 { slowPaths.insert(.metadata) }
        table.isSteady = true
        table.ready = slowPaths.isEmpty ? limits.operations : []
    }

    deinit {
        // Memory that the device can still access is parked, not freed (rule 18).
        // SAFETY: the slot memory is this value's own, and nothing uses it after this call.
        unsafe ChannelEnd<E, C>.run(
            engine, records: records, table: table, arena: arena, limits: limits, space: space, generation: generation)
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
    /// Periods that cyclic transaction `periodSequence` has completed since its start.
    var periods: UInt64
    var periodSequence: UInt64
    /// The device's own status word.
    var deviceStatus: UInt32
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
        periods = 0
        periodSequence = 0
        deviceStatus = 0
        isReusable = false
        isReserved = false
        wasReportedLate = false
        metadataSequence = 0
    }
}

/// Why a channel is off its fast path.
@usableFromInline @frozen
struct SlowPath: OptionSet {
    @usableFromInline let rawValue: UInt8
    @usableFromInline init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Finished transactions wait in the channel, taken from the engine by `poll`.
    @inlinable static var done: SlowPath { SlowPath(rawValue: 1) }
    /// A fence that the engine does not keep itself holds later transactions back.
    @inlinable static var fence: SlowPath { SlowPath(rawValue: 2) }
    /// Some transaction has a deadline, wants reuse or is cyclic: its record has more to be looked at.
    @inlinable static var recorded: SlowPath { SlowPath(rawValue: 4) }
    /// Terminated and not yet synchronized: nothing is accepted.
    @inlinable static var terminating: SlowPath { SlowPath(rawValue: 8) }
    /// Every region is checked against the live mappings.
    @inlinable static var sanitize: SlowPath { SlowPath(rawValue: 16) }
    /// Each descriptor has a metadata area, which is cleared for it.
    @inlinable static var metadata: SlowPath { SlowPath(rawValue: 32) }
    /// The device is gone: nothing is accepted, and every waiter ends.
    @inlinable static var gone: SlowPath { SlowPath(rawValue: 64) }
}

extension SlowPath {
    /// Whether completions are taken as they come; the sanitizer and metadata concern submissions alone.
    @inlinable
    var isSteady: Bool { isSubset(of: [.sanitize, .metadata]) }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Takes the channel off its fast path, for `reason`.
    @usableFromInline
    mutating func setSlow(_ reason: SlowPath) {
        slowPaths.insert(reason)
        table.ready = []
        if !slowPaths.isSteady { table.isSteady = false }
    }

    /// `reason` is over; where none is left, the channel is on its fast path again.
    @usableFromInline
    mutating func clearSlow(_ reason: SlowPath) {
        slowPaths.remove(reason)
        if slowPaths.isEmpty { table.ready = limits.operations }
        if slowPaths.isSteady { table.isSteady = true }
    }

    /// Whether the engine completes in order: a constant, unless it is known only at run time.
    @inlinable @inline(__always)
    var keepsOrder: Bool {
        switch E.order {
        case .inOrder: true
        case .outOfOrder: false
        case .dynamic: limits.keepsOrder
        }
    }

    /// Whether this process is a child of the one that made the channel.
    @usableFromInline
    var isForked: Bool { generation != cdma_fork_generation() }
}

/// The state of a channel.
@frozen
public enum ChannelState: UInt8, Hashable, Sendable {
    /// Takes and does work.
    case running
    /// Keeps what it has, and does not go on with it.
    case paused
    /// Terminated; ``Channel/synchronize(by:)`` has yet to make sure that the device has stopped.
    case terminating
    /// The device is gone: nothing is accepted. What was in flight comes back after ``Channel/synchronize(by:)``.
    case gone
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// What the engine can do.
    public var capabilities: Capabilities { engine.capabilities }
    /// The channel's state.
    public var channelState: ChannelState { state }
    /// What the engine did that no honest one does.
    public var faults: EngineFaults { faultCounts }
    /// The address space that cargo must be mapped for (rule 3).
    public var domain: DomainID { limits.domain }
    /// Transactions submitted and not yet taken. O(depth).
    public var inFlight: Int {
        var number = 0
        for slot in 0..<limits.slots {
            // SAFETY: `slot` is below the number of slots, for which the records were allocated.
            if unsafe table.sequence(slot) != SlotRecord.idle && !records[slot].isReserved { number += 1 }
        }
        return number
    }
    /// The engine's interrupt line, where it has one.
    package var interruptLine: InterruptLine? { engine.interruptLine }
    /// Interrupts raised since the engine was made (rule 14).
    package var interruptCount: UInt64 { engine.interruptLine?.count ?? 0 }

    /// Looks at the engine itself: its own statistics, say.
    @inlinable
    public func withEngine<R: ~Copyable, Failure: Error>(
        _ body: (borrowing E) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(engine)
    }

    /// Adjusts the engine itself, for what neither ``configure(_:)`` nor ``apply(_:)`` can say.
    ///
    /// Unsafe, because the channel's guarantees rest on its engine: `body` must not exchange it, stop it or take completions from it while
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
        try checkUsable()
        try traits.check(configuration)
        try engine.configure(configuration)
    }

    /// Applies the engine's own settings to later transactions: what the engine has beyond `EngineConfiguration`.
    public mutating func apply(_ settings: E.Settings) throws(DMAError) {
        try checkUsable()
        try engine.apply(settings)
    }

    /// - Throws: `usedAfterFork` in a child process; `deviceGone`.
    @usableFromInline
    mutating func checkUsable() throws(DMAError) {
        if isForked { throw DMAError(.usedAfterFork) }
        if slowPaths.contains(.gone) { throw DMAError(.deviceGone) }
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Gives the channel's engine one more peripheral, and says by which number `PeripheralPlace` names it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 {
        try checkUsable()
        return try engine.attach(file)
    }

    /// Lets go of a peripheral; its number may be given again.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    public mutating func detach(_ number: UInt32) throws(DMAError) {
        try checkUsable()
        try engine.detach(number)
    }
}

// MARK: - Submit, issue, next

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Queues one operation on a cargo; starts nothing (rule 5).
    ///
    /// From here on the cargo is the channel's. It comes back in ``Finished`` or, where the request is refused, at once.
    /// Refusals: `queueFull`, `unsupportedOperation`, `unsupportedFlag`, `noSuchRegion`, `foreignDomain`, `noPermission`, `outOfRange`,
    /// `zeroLength`, `misaligned`, `overlappingRegions`, `lengthMismatch`, `tooManySources`, `tooManySegments`, `terminating`,
    /// `deviceGone`, `usedAfterFork`; what the engine itself refuses.
    @inlinable @inline(__always)
    public mutating func submit(_ operation: Operation, _ cargo: consuming C) -> Submission<C> {
        let slot: Int
        let sequence: UInt64
        if keepsOrder {
            sequence = nextSequence
            slot = Int(truncatingIfNeeded: sequence & limits.indexMask)
        } else {
            // SAFETY: the place is inside the table also where no slot is free; what is read then is not used.
            slot = unsafe Int(truncatingIfNeeded: table.free(freeIndex).pointee)
            // The next cookie whose low bits are this slot.
            sequence = nextSequence &+ ((UInt64(truncatingIfNeeded: slot) &- nextSequence) & limits.indexMask)
        }
        guard keepsOrder ? table.sequence(slot) == SlotRecord.idle : freeIndex != 0,
            table.ready.contains(OperationSet(operation.kind)), operation.flags.isSubset(of: limits.plainFlags),
            let descriptor =
                operation.kind.isPlain
                ? resolve(operation, cargo, slot: slot) : resolveList(operation, cargo, slot: slot)
        else {
            if isFull() { return .refused(DMAError(.queueFull, limit: UInt64(truncatingIfNeeded: traits.depth)), cargo) }
            // The fields one by one: passed whole, the fast path would have to build the value in memory.
            return submitSlowly(
                operation.kind, operation.flags, operation.source, operation.sourceCount, operation.destination,
                operation.destinationCount, operation.sourceOffset, operation.destinationOffset, operation.count,
                operation.value,
                operation.detail, cargo)
        }
        // SAFETY: `resolve` has checked every address against the cargo, which the channel owns until the engine is done with it.
        let result = unsafe engine.enqueue(descriptor, tag: UInt32(truncatingIfNeeded: sequence))
        guard case .accepted = result else { return .refused(engineRefused(result), cargo) }
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
        // SAFETY: the callers took the slot from the free ones, in which no cargo is initialized; it stays so until the cargo is
        // moved out.
        nextSequence = sequence &+ 1
        if !keepsOrder { freeIndex &+= 1 }
        table.setSequence(slot, sequence)
        table.setCount(slot, count, asksInterrupt: asksInterrupt)
        unsafe table.cargo(slot).initialize(to: cargo)
        return Cookie(sequence)
    }

    /// Starts everything that is queued (rule 7).
    @inlinable
    public mutating func issuePending() {
        guard table.isSteady else { return issueSlowly() }
        issuedEnd = nextSequence
        engine.issuePending()
    }

    /// `issuePending`, off the fast path: in a child process the device is the parent's, and what was terminated is never started.
    @usableFromInline @inline(never)
    mutating func issueSlowly() {
        guard !isForked, state != .terminating, state != .gone else { return }
        issuedEnd = nextSequence
        engine.issuePending()
    }

    /// The next finished transaction with its cargo, or nil. Never waits.
    @inlinable @inline(__always)
    public mutating func next() -> Finished<C>? {
        guard table.isSteady else {
            let found = nextSlowly()
            return found >= 0 ? takeHanded(found) : nil
        }
        return nextSteadily()
    }

    /// `next`, where completions are taken as they come.
    @inlinable @inline(__always)
    mutating func nextSteadily() -> Finished<C>? {
        guard let completion = engine.next() else { return nil }
        guard isExpected(completion) else {
            // Off the fast path the answer is a slot's number and what stands in `handed`: returned whole, it would have to be
            // built in memory on the fast path too.
            let found = nextChecked(
                completion.tag, completion.status, completion.isPeriod, completion.deviceStatus, completion.residue,
                completion.value)
            return found >= 0 ? takeHanded(found) : nil
        }
        return takeExpected(completion)
    }

    /// The cookie of the transaction in the slot that a completion's tag names: slots are a power of two, so that no tag leads outside the
    /// table.
    @inlinable @inline(__always)
    func sequence(of completion: Completion) -> UInt64 {
        table.sequence(Int(truncatingIfNeeded: UInt64(completion.tag) & limits.indexMask))
    }

    /// Whether a completion is plain, and that of a transaction which was issued and may complete now.
    @inlinable @inline(__always)
    func isExpected(_ completion: Completion) -> Bool {
        let sequence = sequence(of: completion)
        // A tag with more bits than the engine has is foreign too. An idle slot's sequence is never issued.
        return (sequence & limits.tagMask) == UInt64(completion.tag) && (!keepsOrder || sequence == expectedSequence)
            && sequence < issuedEnd && completion.isPlain
    }

    /// Hands out the transaction of an expected completion.
    @inlinable @inline(__always)
    mutating func takeExpected(_ completion: Completion) -> Finished<C> {
        let slot = Int(truncatingIfNeeded: UInt64(completion.tag) & limits.indexMask)
        let sequence = table.sequence(slot)
        if keepsOrder { expectedSequence = sequence &+ 1 } else { release(slot) }
        table.setSequence(slot, SlotRecord.idle)
        // SAFETY: the slot's sequence was issued and is idle from here on, so that its cargo, which `accept` has initialized, is moved out
        // once.
        return Finished(
            cookie: Cookie(sequence), status: .complete, residue: 0, value: completion.value, deviceStatus: 0, lateness: 0,
            cargo: unsafe table.cargo(slot).move())
    }

    /// Moves out the cargo of a slot that a slow path has prepared in `handed`.
    @inlinable @inline(__always)
    mutating func takeHanded(_ slot: Int) -> Finished<C> {
        // SAFETY: the slow path answers slots whose cargo is initialized, and has taken them out of use.
        Finished(
            cookie: Cookie(handed.sequence), status: handed.ending.status, residue: handed.ending.residue, value: handed.value,
            deviceStatus: handed.ending.deviceStatus, lateness: handed.ending.lateness, cargo: unsafe table.cargo(slot).move())
    }

    /// Puts a slot back on the list of free ones.
    @inlinable @inline(__always)
    mutating func release(_ slot: Int) {
        // SAFETY: each slot is on the list at most once: it comes back when its sequence becomes idle. So there is room.
        freeIndex &-= 1
        unsafe table.free(freeIndex).pointee = UInt32(truncatingIfNeeded: slot)
    }
}

/// How a transaction ended, beside its value.
@usableFromInline @frozen
struct Ending {
    @usableFromInline var status: TransactionStatus
    @usableFromInline var deviceStatus: UInt32
    @usableFromInline var residue: UInt64
    @usableFromInline var lateness: Int64
    @inlinable @inline(__always)
    init(status: TransactionStatus, deviceStatus: UInt32, residue: UInt64, lateness: Int64) {
        self.status = status
        self.deviceStatus = deviceStatus
        self.residue = residue
        self.lateness = lateness
    }
    /// Complete, whole and in time.
    @inlinable @inline(__always)
    static var plain: Ending { Ending(status: .complete, deviceStatus: 0, residue: 0, lateness: 0) }
}

/// What a slow path found to hand out.
@usableFromInline @frozen
struct HandedOut {
    @usableFromInline var sequence: UInt64 = 0
    @usableFromInline var value: UInt64 = 0
    @usableFromInline var ending = Ending.plain
    init() {}
}
