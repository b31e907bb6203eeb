// SPDX-License-Identifier: Apache-2.0

public import CDMA
public import DMACore
public import DMAEngineKit

/// The kernel's storage, pipes and sockets as peripherals, through io_uring; or through threads, where io_uring is not to be
/// had.
///
/// It moves nothing between two places in memory: its operations are transfers with attached files, commands to them, and
/// streams. Addresses are this process's own. Positions are bytes of the file. Completions come in whatever order the kernel
/// takes; on a stream (a transfer without a position) one transaction reads at a time and one writes, in the order in which
/// they were issued.
///
/// A transfer is continued until it is whole or the file ends; one that ends early is `complete` with what is left as residue.
/// A failed one carries the kernel's error number in its value and says by its residue how far it came.
///
/// A flush covers the writes that were complete when it was issued: a fence before it makes that all of them.
///
/// The steady path — `enqueue`, `issuePending`, `next` — allocates nothing, counts no references and takes no lock; its one
/// system call is io_uring_enter(2).
///
/// Source: io_uring(7), io_uring_enter(2); include/uapi/linux/io_uring.h.
@frozen @safe
public struct IOUringEngine: ~Copyable, Engine {
    /// What the steady path does not touch. The first word, because the thread sanitizer takes the first word of a value that lends a part of
    /// itself for the part's address: this one leads to memory of the engine's alone, those below to memory of two threads.
    @usableFromInline let cold: UnsafeMutablePointer<ColdState>
    @usableFromInline let view: RingView
    @usableFromInline let files: UnsafeMutablePointer<FileEntry>
    @usableFromInline let fileLimit: UInt64
    @usableFromInline let requests: UnsafeMutablePointer<Request>
    /// Slots that are not in use: the first `freeCount` of these.
    @usableFromInline let free: UnsafeMutablePointer<UInt16>
    @usableFromInline let slotMask: UInt64
    @usableFromInline var freeCount: Int
    /// Submissions are written up to `tail`, and given up to `issued`.
    @usableFromInline var tail: UInt32
    @usableFromInline var issued: UInt32
    /// Completions taken.
    @usableFromInline var head: UInt32
    /// Any bit sends `issuePending` and `next` off the steady path.
    @usableFromInline var detours: RingDetour
    @usableFromInline var submissionMethod: SubmissionMethod
    /// The file that `configure` chose.
    @usableFromInline var chosen: UInt64
    /// The piece of registered memory that was used last, its number, and how many mappings had ended then. No bytes for none.
    @usableFromInline var windowStart: UInt64
    @usableFromInline var windowCount: UInt64
    @usableFromInline var windowIndex: UInt16
    @usableFromInline var windowEpoch: UInt32
    @usableFromInline let mayRegister: Bool
    /// How many mappings have ended.
    @usableFromInline let epoch: UnsafeMutableRawPointer
    @usableFromInline var fixedRequests: UInt64

    /// Makes the ring, or starts the threads.
    ///
    /// - Throws: `badConfiguration` for a value out of range; `kernelRefused` with the error number where the path `ring` was
    ///   asked for and is not to be had; `engineFailed` where the system has no threads for the other one.
    public init(_ configuration: IOUringConfiguration = IOUringConfiguration()) throws(DMAError) {
        // SAFETY: just allocated, for so many, and initialized in full before anything reads; `deinit` alone frees it. The ring's
        // words live in the carrier, which the state holds.
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
        // The first slot on top.
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
        // Without a registrar any word does: the window has no bytes. The state keeps the registrar alive.
        unsafe epoch = configuration.registrar?.epoch ?? view.submissionFlags
        unsafe cold.pointee.depth = depth
    }

    deinit {
        // SAFETY: the channel has quiesced, or parked this engine, which then does not end. First the ring goes, with whatever the
        // kernel has of it; then nobody uses the tables.
        // The channel has quiesced, or parked the memory. First the ring goes, with whatever the kernel has of it; then ours.
        unsafe cold.deinitialize(count: 1)
        unsafe cold.deallocate()
        unsafe files.deallocate()
        unsafe requests.deallocate()
        unsafe free.deallocate()
    }

    /// What this engine can do, and what carries it.
    // SAFETY: the state lives as long as the engine.
    public var capabilities: Capabilities { unsafe cold.pointee.capabilities }

    /// Where interrupts arrive.
    ///
    /// An interrupt is counted when the completion that asked for it is taken; a suspended task is woken to take it.
    // SAFETY: as above.
    public var interruptLine: InterruptLine? { unsafe cold.pointee.line }

    /// Whether io_uring_enter(2) is refused for good while the kernel has requests that only this call could bring to an end, as when a sandbox
    /// forbids the call after the ring was made. What the kernel has may still be read and written, so that none of it can be given back.
    @inlinable public var isGone: Bool { detours.contains(.lost) }

    /// Addresses are this process's own.
    @inlinable public var addressing: EngineAddressing { .cpu }
    /// Completions come in whatever order the kernel takes.
    @inlinable public static var order: CompletionOrder { .outOfOrder }

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the index is below the number of file entries; the slot came from the list of free ones, which hold numbers of
        // slots; entries between `issued` and `tail` are the engine's, and a free slot has one. The addresses go to the kernel, as
        // the caller permits.
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
        // A mapping that ended since may have left its address to another: then the window is looked up again.
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
        // SAFETY: the word is the ring's, which the state holds; what stands before the new tail is written.
        guard detours.isEmpty else { return issueSlowPath() }
        guard tail != issued else { return }
        issued = tail
        unsafe cdma_store_release32(view.submissionTail, tail)
        submitIssued()
    }

    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        // SAFETY: the head is not the tail, so that the kernel has written the entry; the mask keeps the slot inside the tables,
        // and a stamp that fits says that the slot is in use, so that its file is a number of the table and the free list has room
        // for it.
        if unsafe head == cdma_load_acquire32(view.completionTail) {
            // TASKRUN or OVERFLOW: there is something that only a system call brings.
            if detours.isEmpty, unsafe cdma_load_acquire32(view.submissionFlags) & 6 == 0 { return nil }
            return nextSlowPath()
        }
        let entry = unsafe view.completion(head)
        let name = unsafe entry.pointee.user_data
        // No name leads outside the table.
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
        // One slot goes back for one that was taken: the stamp has changed, so that it cannot go back twice.
        unsafe free[freeCount] = UInt16(truncatingIfNeeded: slot)
        freeCount &+= 1
        return Completion(tag: unsafe request.pointee.tag)
    }
}

/// A transaction, as the steady path knows it.
@usableFromInline @frozen
struct Request {
    @usableFromInline
    enum State: UInt8 {
        case free
        /// One plain request.
        case read, write
        /// There is a ``SlowPathTransaction``.
        case slowPath
    }
    /// The use of the slot: the upper 48 bits of the names of its requests. The low 16 bits are 0; a name that has any of them
    /// set is a slow-path request's.
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

/// Why an engine is off its steady path.
@usableFromInline @frozen
struct RingDetour: OptionSet {
    @usableFromInline let rawValue: UInt32
    @inlinable init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Slow-path transactions are queued that were not issued.
    @inlinable static var unissued: RingDetour { RingDetour(rawValue: 1) }
    /// There are completions to report that no entry of the ring stands for.
    @inlinable static var reports: RingDetour { RingDetour(rawValue: 2) }
    /// The kernel has not taken all that was issued.
    @inlinable static var unsubmitted: RingDetour { RingDetour(rawValue: 4) }
    @inlinable static var paused: RingDetour { RingDetour(rawValue: 8) }
    @inlinable static var terminating: RingDetour { RingDetour(rawValue: 16) }
    /// Completions come only to those who ask the kernel.
    @inlinable static var polls: RingDetour { RingDetour(rawValue: 32) }
    /// On some file direct writes and buffered ones wait for each other.
    @inlinable static var gated: RingDetour { RingDetour(rawValue: 64) }
    /// The kernel refuses the ring's call for good, while it has requests that only this call could bring to an end.
    @inlinable static var lost: RingDetour { RingDetour(rawValue: 128) }
}
