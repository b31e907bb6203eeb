// SPDX-License-Identifier: Apache-2.0

public import CDMA
public import DMACore
public import DMAEngineKit

/// The kernel's storage, pipes and sockets as peripherals, through io_uring or, where that is not available, through threads.
///
/// It has no memory-to-memory operations: it supports transfers with attached files, commands to them, and streams. Addresses
/// are virtual addresses of this process. Positions are bytes of the file. Completions come in any order; on a stream (a
/// transfer without a position) one transaction reads at a time and one writes, in the order in which they were issued.
///
/// A transfer is continued until it is whole or the file ends; one that ends early is `complete` with the rest as residue. A
/// failed one has the kernel's error number in its value and its progress in the residue.
///
/// A flush covers the writes that were complete when it was issued: put a fence before it to cover all of them.
///
/// The fast path — `enqueue`, `issuePending`, `next` — allocates nothing, counts no references and takes no lock; its one
/// system call is io_uring_enter(2).
///
/// Source: io_uring(7), io_uring_enter(2); include/uapi/linux/io_uring.h.
@frozen @safe
public struct IOUringEngine: ~Copyable, Engine {
    /// State outside the fast path. The first word, because the thread sanitizer attributes an access through a borrowed part
    /// of a value to the value's first word: this one points to memory that only the engine uses, those below to memory of two
    /// threads.
    @usableFromInline let cold: UnsafeMutablePointer<ColdState>
    @usableFromInline let view: RingView
    @usableFromInline let files: UnsafeMutablePointer<FileEntry>
    @usableFromInline let fileLimit: UInt64
    @usableFromInline let requests: UnsafeMutablePointer<Request>
    /// Free slots: the first `freeCount` of these.
    @usableFromInline let free: UnsafeMutablePointer<UInt16>
    @usableFromInline let slotMask: UInt64
    @usableFromInline var freeCount: Int
    /// Submissions are written up to `tail`, and published up to `issued`.
    @usableFromInline var tail: UInt32
    @usableFromInline var issued: UInt32
    /// Completions taken.
    @usableFromInline var head: UInt32
    /// Any set bit takes `issuePending` and `next` off the fast path.
    @usableFromInline var detours: RingDetour
    @usableFromInline var submissionMethod: SubmissionMethod
    /// The file selected by `configure`.
    @usableFromInline var chosen: UInt64
    /// The last used window of registered memory, its number, and the number of ended mappings at that time. Empty for none.
    @usableFromInline var windowStart: UInt64
    @usableFromInline var windowCount: UInt64
    @usableFromInline var windowIndex: UInt16
    @usableFromInline var windowEpoch: UInt32
    @usableFromInline let mayRegister: Bool
    /// The number of ended mappings.
    @usableFromInline let epoch: UnsafeMutableRawPointer
    @usableFromInline var fixedRequests: UInt64

    /// Creates the ring, or starts the threads.
    ///
    /// - Throws: `badConfiguration` for a value out of range; `kernelRefused` with the error number where the path `ring` was
    ///   requested and is not available; `engineFailed` where the system cannot create threads for the other one.
    public init(_ configuration: IOUringConfiguration = IOUringConfiguration()) throws(DMAError) {
        // SAFETY: just allocated, with that capacity, and fully initialized before the first read; only `deinit` frees it. The
        // ring's words live in the carrier, which the state keeps.
        let configuration = try configuration.checked()
        var slots = 1
        while slots < configuration.depth { slots *= 2 }
        let state = try ColdState(configuration, slots: slots)
        view = state.carrier.view
        let depth = configuration.depth
        unsafe cold = .allocate(capacity: 1)
        unsafe cold.initialize(to: state)
        unsafe files = .allocate(capacity: configuration.files)
        unsafe files.initialize(repeating: FileEntry(), count: configuration.files)
        fileLimit = UInt64(configuration.files)
        unsafe requests = .allocate(capacity: slots)
        unsafe requests.initialize(repeating: Request(), count: slots)
        unsafe free = .allocate(capacity: slots)
        // The first slot is on top.
        for index in 0..<slots { unsafe (free + index).initialize(to: UInt16(slots - 1 - index)) }
        slotMask = UInt64(slots - 1)
        freeCount = slots
        tail = unsafe cdma_load_acquire32(view.submissionTail)
        issued = tail
        head = unsafe cdma_load_acquire32(view.completionHead)
        detours = configuration.polledCompletions ? .polls : []
        chosen = 0
        submissionMethod = unsafe cold.pointee.carrier.submissionMethod
        windowStart = 0
        windowCount = 0
        windowIndex = 0
        windowEpoch = 0
        fixedRequests = 0
        let buffers = unsafe cold.pointee.buffers
        mayRegister = buffers != nil
        // Without a registrar any word will do: the window is empty. The state keeps the registrar alive.
        unsafe epoch = configuration.registrar?.epoch ?? view.submissionFlags
        unsafe cold.pointee.depth = depth
    }

    deinit {
        // SAFETY: the channel has quiesced, or quarantined this engine, which then does not end. The ring is closed first, with
        // all requests in the kernel; then nothing uses the tables. The channel has quiesced, or quarantined the memory. The
        // ring is closed first; then our memory is freed.
        unsafe cold.deinitialize(count: 1)
        unsafe cold.deallocate()
        unsafe files.deallocate()
        unsafe requests.deallocate()
        unsafe free.deallocate()
    }

    /// The engine's capabilities, with its carrier.
    // SAFETY: the state lives as long as the engine.
    public var capabilities: Capabilities { unsafe cold.pointee.capabilities }

    /// The interrupt line.
    ///
    /// An interrupt is counted when the completion with the flag is taken; a suspended task is woken to take it.
    // SAFETY: as above.
    public var interruptLine: InterruptLine? { unsafe cold.pointee.line }

    /// Whether io_uring_enter(2) is refused for good while the kernel has requests that only this call could bring to an end, as when a sandbox
    /// forbids the call after the ring was made. What the kernel has may still be read and written, so that none of it can be given back.
    @inlinable public var isGone: Bool { detours.contains(.lost) }

    /// Addresses are virtual addresses of this process.
    @inlinable public var addressing: EngineAddressing { .cpu }
    /// Completions come in any order.
    @inlinable public static var order: CompletionOrder { .outOfOrder }

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the index is below the number of file entries; the slot came from the list of free ones, which contains
        // numbers of slots; entries between `issued` and `tail` belong to the engine, and there is one for each free slot. The
        // addresses are passed to the kernel, as the caller permits.
        let number = descriptor.detail[0]
        let index = number == 0 ? chosen : number &- 1
        let position = descriptor.value
        guard descriptor.kind == .peripheral, index < fileLimit, descriptor.sourceCount &+ descriptor.destinationCount == 1,
            !descriptor.flags.contains(.interrupt), position < 1 << 63, descriptor.count <= 0x7fff_f000, freeCount > 0
        else { return enqueueSlowPath(descriptor, tag: tag) }
        // The index is inside the table.
        let file = unsafe files + Int(truncatingIfNeeded: index)
        let writes = descriptor.sourceCount != 0
        let address = writes ? descriptor.source : descriptor.destination
        let mask = unsafe writes ? file.pointee.writeMask : file.pointee.readMask
        guard (address | position | descriptor.count) & mask == 0 else { return enqueueSlowPath(descriptor, tag: tag) }
        let into = address &- windowStart
        // A mapping that ended since may have left its address to another: the window is then looked up again.
        let isFixed =
            unsafe into < windowCount && descriptor.count <= windowCount &- into && cdma_load_acquire32(epoch) == windowEpoch
            || mayRegister && findWindow(address, descriptor.count)
        if isFixed { fixedRequests &+= 1 }
        freeCount &-= 1
        let slot = unsafe Int(free[freeCount])
        let request = unsafe requests + slot
        unsafe request.pointee.tag = tag
        unsafe request.pointee.file = UInt32(truncatingIfNeeded: index)
        unsafe request.pointee.count = descriptor.count
        unsafe request.pointee.address = address
        unsafe request.pointee.position = position
        unsafe request.pointee.state = writes ? .write : .read
        unsafe file.pointee.inFlight &+= 1
        let entry = unsafe view.submission(tail)
        unsafe entry.pointee = cdma_uring_sqe(
            opcode: isFixed
                ? writes ? Opcode.writeFixed : Opcode.readFixed
                : writes ? Opcode.write : Opcode.read,
            flags: file.pointee.flags, ioprio: 0, fd: file.pointee.descriptor, offset: position, address: address,
            length: UInt32(truncatingIfNeeded: descriptor.count), operation_flags: 0,
            user_data: request.pointee.stamp << 16 | UInt64(slot), buffer: isFixed ? windowIndex : 0, personality: 0,
            file_index: 0, address3: 0, reserved: 0)
        tail &+= 1
        return .accepted
    }

    @inlinable @inline(__always)
    public mutating func issuePending() {
        // SAFETY: the word is the ring's, which the state keeps; all entries before the new tail are written.
        guard detours.isEmpty else { return issueSlowPath() }
        guard tail != issued else { return }
        issued = tail
        unsafe cdma_store_release32(view.submissionTail, tail)
        submitIssued()
    }

    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        // SAFETY: the head is not the tail, so that the kernel has written the entry; the mask keeps the slot inside the
        // tables, and a matching stamp means that the slot is in use, so that its file is a number of the table and the free
        // list has room for it.
        if unsafe head == cdma_load_acquire32(view.completionTail) {
            // TASKRUN or OVERFLOW: only a system call delivers the completions.
            if detours.isEmpty, unsafe cdma_load_acquire32(view.submissionFlags) & 6 == 0 { return nil }
            return nextSlowPath()
        }
        let entry = unsafe view.completion(head)
        let name = unsafe entry.pointee.user_data
        // The mask keeps every name inside the table.
        let slot = Int(truncatingIfNeeded: name & slotMask)
        let request = unsafe requests + slot
        guard unsafe name >> 16 == request.pointee.stamp, detours.isDisjoint(with: [.reports, .gated, .terminating]),
            unsafe UInt64(bitPattern: Int64(entry.pointee.result)) == request.pointee.count
        else { return nextSlowPath() }
        head &+= 1
        unsafe cdma_store_release32(view.completionHead, head)
        unsafe (files + Int(request.pointee.file)).pointee.inFlight &-= 1
        unsafe request.pointee.stamp = (request.pointee.stamp &+ 0x1_0000) & 0xffff_ffff_ffff
        unsafe request.pointee.state = .free
        // A slot is freed once for each time it was taken: its stamp has changed, so that it cannot be freed twice.
        unsafe free[freeCount] = UInt16(truncatingIfNeeded: slot)
        freeCount &+= 1
        return Completion(tag: unsafe request.pointee.tag)
    }
}

/// A transaction, as the fast path sees it.
@usableFromInline @frozen
struct Request {
    @usableFromInline
    enum State: UInt8 {
        case free
        /// One plain request.
        case read, write
        /// A ``SlowPathTransaction`` exists.
        case slowPath
    }
    /// The use of the slot: the upper 48 bits of the names of its requests. The low 16 bits are 0; a name with any of them set
    /// belongs to a slow-path request.
    @usableFromInline var stamp: UInt64
    @usableFromInline var count: UInt64
    @usableFromInline var address: UInt64
    @usableFromInline var position: UInt64
    @usableFromInline var tag: UInt32
    @usableFromInline var file: UInt32
    @usableFromInline var state: State

    init() {
        stamp = 0
        count = 0
        address = 0
        position = 0
        tag = .max
        file = 0
        state = .free
    }
}

/// The reasons for which an engine is off its fast path.
@usableFromInline @frozen
struct RingDetour: OptionSet {
    @usableFromInline let rawValue: UInt32
    @inlinable init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Queued slow-path transactions were not issued.
    @inlinable static var unissued: RingDetour { RingDetour(rawValue: 1) }
    /// There are completions to report without an entry in the ring.
    @inlinable static var reports: RingDetour { RingDetour(rawValue: 2) }
    /// The kernel has not consumed all issued entries.
    @inlinable static var unsubmitted: RingDetour { RingDetour(rawValue: 4) }
    @inlinable static var paused: RingDetour { RingDetour(rawValue: 8) }
    @inlinable static var terminating: RingDetour { RingDetour(rawValue: 16) }
    /// Completions are delivered only by a system call.
    @inlinable static var polls: RingDetour { RingDetour(rawValue: 32) }
    /// On some file direct writes and buffered ones wait for each other.
    @inlinable static var gated: RingDetour { RingDetour(rawValue: 64) }
    /// The kernel refuses the ring's call for good, while it has requests that only this call could bring to an end.
    @inlinable static var lost: RingDetour { RingDetour(rawValue: 128) }
}
