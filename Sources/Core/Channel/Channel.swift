// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// A client's access to an engine: the kernel's `struct dma_chan`, with ownership enforced by the compiler.
///
/// A channel owns its engine and, from submission until the completion is taken, the cargo of every transaction. It assigns
/// cookies, checks requests before they reach the engine, and checks every report of the engine. It is noncopyable, and so
/// exclusive (rule 1); one thread at a time uses it, and it is released at the end of its scope.
///
/// The fast path — ``submit(_:_:)``, ``issuePending()``, ``next()`` — allocates nothing, counts no references and takes no
/// lock.
///
/// Source: Documentation/driver-api/dmaengine/client.rst.
@frozen @safe
public struct Channel<E: Engine & ~Copyable, C: Cargo & ~Copyable>: ~Copyable {
    @usableFromInline var engine: E
    @usableFromInline let limits: ChannelLimits
    @usableFromInline let traits: ChannelTraits
    @usableFromInline let table: SlotTable<C>
    /// State that only the slow paths read and write.
    @usableFromInline let records: UnsafeMutablePointer<SlotRecord>
    @usableFromInline let arena: SlotArena
    /// The next cookie, the first one not issued, and the one that an in-order engine completes next. A transaction's slot and
    /// tag are the low bits of its cookie. An in-order channel needs no list of free slots: when the cookies wrap round to a
    /// slot, it is free again; where it is not, cookies are skipped.
    @usableFromInline var nextSequence: UInt64
    @usableFromInline var issuedEnd: UInt64
    @usableFromInline var expectedSequence: UInt64
    /// Start of the list of free slots, for a channel whose engine completes out of order: minus their number.
    @usableFromInline var freeIndex: Int
    /// The fork generation of the process that made the channel.
    @usableFromInline let generation: UInt32
    /// Unique among the channels of this process.
    let identifier: UInt64
    /// Keeps the domain alive; tells whether its backend is dead.
    let space: Domain
    /// The reasons why the channel is off its fast path. Changed only by ``setSlow(_:)`` and ``clearSlow(_:)``.
    @usableFromInline var slowPaths: SlowPath
    @usableFromInline var state: ChannelState
    @usableFromInline var faultCounts: EngineFaults
    @usableFromInline var done: SlotList
    @usableFromInline var held: SlotList
    @usableFromInline var fenceSequence: UInt64
    /// Transactions in flight or reserved whose records need checking: those with a deadline, a reservation or periods.
    @usableFromInline var recordedCount: Int
    @usableFromInline var reserved: SlotList
    /// The last cookie after which an in-order channel skipped some: while it is in flight, a taken slot does not mean a full
    /// channel.
    @usableFromInline var lastSkip: UInt64
    @usableFromInline var handed: HandedOut

    /// Makes a channel over `engine`, for cargo mapped for `domain`.
    ///
    /// - Throws: `badConfiguration` where the engine's capabilities are inconsistent (a depth outside 1…32,768, tags too short
    ///   for the depth, and the like); `foreignEngine` where the engine's addresses are not those of `domain`. The engine ends
    ///   in either case.
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
        identifier = DomainCore.nextIdentifier()
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
        // Memory that the device may still access goes to the quarantine instead of being freed (rule 18). SAFETY: the slot
        // memory is this value's own, and nothing uses it after this call.
        unsafe ChannelEnd<E, C>.run(
            engine, records: records, table: table, arena: arena, limits: limits, space: space, generation: generation)
    }
}

/// The state of a channel.
@frozen
public enum ChannelState: UInt8, Hashable, Sendable {
    /// Accepts and runs transactions.
    case running
    /// Keeps its transactions without running them.
    case paused
    /// Terminated; ``Channel/synchronize(by:)`` has not yet confirmed that the device has stopped.
    case terminating
    /// The device is gone and nothing is accepted. Transactions in flight are returned after ``Channel/synchronize(by:)``.
    case gone
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The engine's capabilities.
    public var capabilities: Capabilities { engine.capabilities }
    /// The channel's state.
    public var channelState: ChannelState { state }
    /// Protocol violations of the engine.
    public var faults: EngineFaults { faultCounts }
    /// The address space that cargo must be mapped for (rule 3).
    public var domain: DomainID { limits.domain }
    /// The number of transactions submitted and not yet taken. O(depth).
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

    /// Lends the engine for reading, for instance of its own statistics.
    @inlinable
    public func withEngine<R: ~Copyable, Failure: Error>(
        _ body: (borrowing E) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(engine)
    }

    /// Lends the engine for changes that neither ``configure(_:)`` nor ``apply(_:)`` covers.
    ///
    /// Unsafe, because the channel's guarantees depend on its engine: `body` must not replace it, stop it or take completions
    /// from it while transactions are in flight, or their memory may be freed while a device still writes to it.
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

    /// Sets what later transactions use: peripheral, width, burst, priority (rule 2). Transactions already submitted keep the
    /// earlier settings.
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        try checkUsable()
        try traits.check(configuration)
        try engine.configure(configuration)
    }

    /// Applies the engine's own settings to later transactions: those beyond `EngineConfiguration`.
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
    /// Attaches a peripheral to the channel's engine, and returns the number by which `PeripheralPlace` names it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 {
        try checkUsable()
        return try engine.attach(file)
    }

    /// Detaches a peripheral; its number may be reused.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    public mutating func detach(_ number: UInt32) throws(DMAError) {
        try checkUsable()
        try engine.detach(number)
    }
}
