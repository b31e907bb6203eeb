// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import DMAEngineKit
internal import SystemPackage

// Cancels one transaction, or all of a file, while others continue.

extension IOUringEngine {
    /// Cancels the transaction that was queued under `tag`: the low bits of its cookie. False where there is none.
    ///
    /// It does not wait. The transaction ends as `aborted` with its residue, or normally if the kernel was faster; its memory
    /// is in use until then. Call it through ``Channel/withUnsafeEngine(_:)``.
    public mutating func cancel(tag: UInt32) -> Bool {
        // SAFETY: the loop counts over the numbers of slots.
        for slot in 0...Int(slotMask) where unsafe request(slot).pointee.tag == tag {
            guard unsafe request(slot).pointee.state != .free else { continue }
            let names = beginCancelling(slot)
            for name in names {
                if let threads = state.threads {
                    threads.cancel(name: name << 16 | UInt64(slot))
                } else {
                    cancelRequest(name, slot)
                }
            }
            return true
        }
        return false
    }

    /// Cancels every transaction that names file `number`, so that it can be detached. Does not wait, as ``cancel(tag:)``.
    ///
    /// - Throws: `noSuchPeripheral`.
    public mutating func cancel(transactionsOf number: UInt32) throws(DMAError) {
        // SAFETY: as above.
        guard UInt64(number) < fileLimit, let record = state.table.records[Int(number)] else {
            throw DMAError(.noSuchPeripheral, asked: UInt64(number))
        }
        for slot in 0...Int(slotMask) {
            switch unsafe request(slot).pointee.state {
            case .free: continue
            case .read, .write:
                guard unsafe request(slot).pointee.file == number else { continue }
            case .slowPath:
                let detail = unsafe transaction(slot).pointee
                guard detail.file == Int(number) || detail.second == Int(number) else { continue }
            }
            let names = beginCancelling(slot)
            if let threads = state.threads { for name in names { threads.cancel(name: name << 16 | UInt64(slot)) } }
        }
        guard state.threads == nil else { return }
        for handle in [record.handle, record.direct].compactMap({ $0 }) {
            var request = cdma_uring_sqe()
            request.opcode = Opcode.cancel
            request.fd = handle.number
            request.operation_flags = CancelFlags.all | CancelFlags.file
            if handle.flags & EntryFlags.fixedFile != 0 { request.operation_flags |= CancelFlags.fixedFile }
            request.user_data = Self.ownName
            pushOwn(request)
        }
        submitIssued()
    }

    /// Marks a transaction as cancelled, and ends it if the carrier has no request of it. Returns the names of those that it
    /// has, without the slot.
    private mutating func beginCancelling(_ slot: Int) -> [UInt64] {
        // SAFETY: callers pass numbers of slots.
        let stamp = unsafe request(slot).pointee.stamp
        guard unsafe request(slot).pointee.state == .slowPath else {
            state.cancelled[slot] = stamp
            return [stamp]
        }
        unsafe transaction(slot).pointee.isCancelled = true
        switch unsafe transaction(slot).pointee.state {
        case .running(.chain(let chain)): return (0..<chain.parts).map { stamp | UInt64($0 + 1) }
        case .running: return [stamp | 1]
        case .none, .queued, .waiting:
            state.held.removeAll { $0 == slot }
            state.unissued.removeAll { $0 == slot }
            finish(slot, .aborted)
            return []
        }
    }

    /// Whether a plain transaction is being cancelled.
    mutating func wasCancelled(_ slot: Int) -> Bool {
        // SAFETY: as above.
        guard let stamp = state.cancelled.removeValue(forKey: slot) else { return false }
        return stamp == (unsafe request(slot).pointee.stamp)
    }

    /// The kernel does not consume the issued entries: those that it has not consumed end with `errno`. EEXIST, where the ring
    /// belongs to another thread.
    mutating func refuseIssued(_ errno: Errno) {
        // SAFETY: entries from the head on and before the tail are in the ring and, since the kernel refuses to consume them
        // from this thread, belong to the engine; the mask keeps each inside, and a copy is as long as an entry.
        let taken = unsafe cdma_load_acquire32(view.submissionHead)
        var names: [UInt64] = []
        var index = taken
        while index != issued {
            names.append(unsafe view.submission(index).pointee.user_data)
            index &+= 1
        }
        // Entries that are queued and not issued take their places.
        let gap = issued &- taken
        index = issued
        while index != tail {
            unsafe UnsafeMutableRawPointer(view.submission(index &- gap)).copyMemory(
                from: view.submission(index), byteCount: 1 << Int(view.submissionShift))
            index &+= 1
        }
        tail &-= gap
        issued = taken
        unsafe cdma_store_release32(view.submissionTail, issued)
        detours.remove(.unsubmitted)
        for name in names where name != Self.ownName { refuse(Int(truncatingIfNeeded: name & slotMask), errno) }
    }

    private mutating func refuse(_ slot: Int, _ errno: Errno) {
        // SAFETY: the names belong to requests that this engine made, so that the mask yields their slots.
        if unsafe request(slot).pointee.state != .slowPath { promote(slot) }
        unsafe transaction(slot).pointee.outstanding = max(transaction(slot).pointee.outstanding - 1, 0)
        guard unsafe transaction(slot).pointee.outstanding == 0 else { return }
        if detours.contains(.terminating) { return drop(slot) }
        fail(slot, errno)
    }
}
