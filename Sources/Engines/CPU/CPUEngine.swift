// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The processor as a DMA engine.
///
/// Small transactions run inside ``next()`` on the polling thread: for a few kilobytes nothing is faster. With workers, large
/// ones and all with the interrupt flag run on threads, several of which share a large copy. Addresses are virtual addresses of
/// this process.
///
/// Large transactions advance by one quantum at a time, so that a pause, a termination or pacing takes effect between two.
///
/// CRC operations use the standard CRC32C for seeds and results: seed 0 at the start, 0xe3069283 over "123456789".
@frozen @safe
public struct CPUEngine: ~Copyable, Engine {
    // The inline queue: a ring of entries. Entries from `head` to `issued` may run, those up to `tail` are queued. The
    // descriptors of operations that do not fit into an entry follow the entries in the same memory, by index.
    @usableFromInline let entries: UnsafeMutablePointer<QueuedTransaction>
    @usableFromInline let mask: UInt32
    @usableFromInline let depth: UInt32
    @usableFromInline var head: UInt32
    @usableFromInline var issued: UInt32
    @usableFromInline var tail: UInt32
    /// Any set bit takes `enqueue` and `next` off the fast path.
    @usableFromInline var detours: EngineDetour
    /// The first: copies of up to this many bytes run in one piece. The second: they use memcpy while the total length of the
    /// queue, with all copies of that length, is at most this. Bytes.
    @usableFromInline let plainCount: UInt64
    @usableFromInline let plainSum: UInt64
    @usableFromInline let kernels: Kernels
    /// State outside the fast path, kept separately: the compiler copies a channel's bytes, including its engine's, to call a
    /// function that only borrows it.
    @usableFromInline let cold: UnsafeMutablePointer<ColdState>

    /// Starts the engine, and its workers if it has any.
    ///
    /// - Throws: `badConfiguration` for a value out of range, a CPU that this process may not use, an absent node;
    ///   `engineFailed` where the system cannot create threads.
    public init(_ configuration: CPUConfiguration = CPUConfiguration()) throws(DMAError) {
        let configuration = try configuration.checked()
        let state: ColdState
        if configuration.workers > 0 {
            let team = try Team(configuration)
            interruptLine = team.board.line
            state = ColdState(configuration, team)
        } else {
            interruptLine = nil
            state = ColdState(configuration, nil)
        }
        let places = state.inline.configurations.count
        unsafe cold = .allocate(capacity: 1)
        unsafe cold.initialize(to: state)
        let entryBytes = places * MemoryLayout<QueuedTransaction>.stride
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: entryBytes + places * MemoryLayout<Descriptor>.stride, alignment: 64)
        // SAFETY: the memory has room for both, and a descriptor is aligned as an entry is.
        unsafe entries = memory.initializeMemory(as: QueuedTransaction.self, repeating: QueuedTransaction(), count: places)
        unsafe (memory + entryBytes).initializeMemory(as: Descriptor.self, repeating: Descriptor(kind: .null), count: places)
        mask = UInt32(places - 1)
        depth = UInt32(configuration.depth)
        head = 0
        issued = 0
        tail = 0
        detours = configuration.workers > 0 ? .team : []
        kernels = configuration.kernels
        plainCount = UInt64(configuration.quantum)
        plainSum = UInt64(max(configuration.kernels.streamThreshold - 1, 0))
    }

    deinit {
        // SAFETY: a noncopyable value ends once, when its channel no longer uses it. The workers end first, with the state;
        // after that nothing uses the memory. Entries and descriptors are trivial.
        unsafe cold.deinitialize(count: 1)
        unsafe cold.deallocate()
        unsafe entries.deallocate()
    }

    /// The engine's capabilities, with the code that does the work.
    public var capabilities: Capabilities { configuration.capabilities }

    /// The interrupt line; nil without workers, because then work is only done by polls.
    public let interruptLine: InterruptLine?

    /// Addresses are virtual addresses of this process.
    @inlinable public var addressing: EngineAddressing { .cpu }

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the words are passed on unchanged, and there is room for one more transaction.
        guard !detours.contains(.team), descriptor.kind.rawValue <= OperationKind.scatterGather.rawValue, tail &- head < depth
        else {
            // The fields one by one: passed whole, the value would have to be built in memory on the fast path.
            return unsafe enqueueSlowPath(
                descriptor.kind, descriptor.flags, descriptor.sourceCount, descriptor.destinationCount, descriptor.source,
                descriptor.destination, descriptor.count, descriptor.value, descriptor.detail, descriptor.operands,
                descriptor.metadata, tag: tag)
        }
        unsafe store(descriptor, tag)
        return .accepted
    }

    /// Puts a transaction into the inline queue, which has room: into an entry, and where that is too small, also into the
    /// descriptor with the same index.
    @unsafe @inlinable @inline(__always)
    mutating func store(_ descriptor: Descriptor, _ tag: UInt32) {
        let place = Int(tail & mask)
        // SAFETY: the mask keeps the place inside the queue. The pointer of an operand list is kept as a word, and followed only before the
        // transaction is reported.
        if descriptor.kind.rawValue <= OperationKind.copyCRC32C.rawValue {
            unsafe entries[place] = QueuedTransaction(
                kind: descriptor.kind, flags: descriptor.flags, tag: tag, source: descriptor.source,
                destination: descriptor.destination, count: descriptor.count, value: descriptor.value)
        } else {
            let counts = UInt64(descriptor.sourceCount) | UInt64(descriptor.destinationCount) << 16
            unsafe entries[place] = QueuedTransaction(
                kind: descriptor.kind, flags: descriptor.flags, tag: tag, source: UInt64(UInt(bitPattern: descriptor.operands)),
                destination: counts, count: descriptor.count, value: descriptor.value)
            if descriptor.kind.rawValue > OperationKind.scatterGather.rawValue {
                unsafe queuedDescriptor(place).pointee = descriptor
            } else if descriptor.kind == .pq || descriptor.kind == .pqValidate {
                unsafe queuedDescriptor(place).pointee.detail = descriptor.detail
            }
        }
        tail &+= 1
    }

    @inlinable @inline(__always)
    public mutating func issuePending() {
        issued = tail
        if detours.contains(.team) { issueToTeam() }
    }

    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        guard detours.isEmpty else { return nextSlowPath() }
        guard head != issued else { return nil }
        // SAFETY: the addresses are client memory that the transaction owns until this completion is reported, and the channel has
        // checked both ranges. The mask keeps the place inside the queue.
        let entry = unsafe entries + Int(head & mask)
        // The product cannot overflow: neither factor has more than 32 bits.
        guard unsafe entry.pointee.kind == .copy, unsafe entry.pointee.count <= plainCount,
            unsafe entry.pointee.count &* UInt64(tail &- head) <= plainSum,
            let to = unsafe UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.destination)),
            let from = unsafe UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.source))
        else {
            guard unsafe runList(entry) else { return nextWhole() ?? nextSlowPath() }
            head &+= 1
            return Completion(tag: unsafe entry.pointee.tag)
        }
        unsafe kernels.copyCached(to: to, from: from, count: Int(truncatingIfNeeded: entry.pointee.count))
        head &+= 1
        return Completion(tag: unsafe entry.pointee.tag)
    }
}

extension CPUEngine {
    /// The descriptor of the operation at index `place` of the inline queue, for operations that do not fit into the entry.
    @inlinable @inline(__always)
    func queuedDescriptor(_ place: Int) -> UnsafeMutablePointer<Descriptor> {
        // SAFETY: `init` made one for each index, after the entries.
        unsafe UnsafeMutableRawPointer(entries + (Int(mask) + 1)).assumingMemoryBound(to: Descriptor.self) + place
    }
}

/// A transaction in the inline queue.
@usableFromInline @frozen
struct QueuedTransaction {
    @usableFromInline var kind: OperationKind
    /// After the end: the status and the residue.
    @usableFromInline var status: TransactionStatus
    @usableFromInline var flags: DescriptorFlags
    @usableFromInline var tag: UInt32
    /// The source; for kinds with operands, the address of their list.
    @usableFromInline var source: UInt64
    /// The destination; for kinds with operands, the numbers of sources and, from bit 16 on, of destinations.
    @usableFromInline var destination: UInt64
    @usableFromInline var count: UInt64
    @usableFromInline var value: UInt64

    @inlinable
    init(
        kind: OperationKind, flags: DescriptorFlags, tag: UInt32, source: UInt64, destination: UInt64, count: UInt64,
        value: UInt64
    ) {
        self.kind = kind
        status = .inProgress
        self.flags = flags
        self.tag = tag
        self.source = source
        self.destination = destination
        self.count = count
        self.value = value
    }

    init() { self.init(kind: .null, flags: [], tag: .max, source: 0, destination: 0, count: 0, value: 0) }

    /// The operand list of a kind that has one; otherwise nil.
    // SAFETY: the word is the pointer of the descriptor that the entry was made from.
    @unsafe var operands: UnsafePointer<Segment>? { unsafe UnsafePointer(bitPattern: UInt(source)) }
    var sourceCount: UInt16 { UInt16(truncatingIfNeeded: destination) }
    var destinationCount: UInt16 { UInt16(truncatingIfNeeded: destination >> 16) }
}

/// The reasons for which an engine is off its fast path.
@usableFromInline @frozen
struct EngineDetour: OptionSet {
    @usableFromInline let rawValue: UInt32
    @inlinable init(rawValue: UInt32) { self.rawValue = rawValue }
    /// There are workers.
    @inlinable static var team: EngineDetour { EngineDetour(rawValue: 1) }
    @inlinable static var paused: EngineDetour { EngineDetour(rawValue: 2) }
    @inlinable static var terminating: EngineDetour { EngineDetour(rawValue: 4) }
    /// Transactions have finished that were not reported yet, or one is partly done.
    @inlinable static var backlog: EngineDetour { EngineDetour(rawValue: 8) }
}
