// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import DMAEngineKit

// Giving up one transaction, or all of a file, while the others go on.

extension IOUringEngine {
    /// Asks for the end of the transaction that was queued under `tag`: the low bits of its cookie. False where there is none.
    ///
    /// It does not wait. The transaction ends as `aborted` with what is left as residue, or as it would have ended where the
    /// kernel was faster; its memory is in use until then. Reach it through ``Channel/withUnsafeEngine(_:)``.
    public mutating func cancel(tag: UInt32) -> Bool {
        for slot in 0...Int(slotMask) where unsafe request(slot).pointee.tag == tag {
            guard unsafe request(slot).pointee.state != .free else { continue }
            let names = mark(slot)
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

    /// Asks for the end of every transaction that names file `number`, so that it can be detached. Does not wait, as
    /// ``cancel(tag:)``.
    ///
    /// - Throws: `noSuchPeripheral`.
    public mutating func cancel(transactionsOf number: UInt32) throws(DMAError) {
        guard UInt64(number) < fileLimit, let record = state.table.records[Int(number)] else {
            throw DMAError(.noSuchPeripheral, asked: UInt64(number))
        }
        for slot in 0...Int(slotMask) {
            switch unsafe request(slot).pointee.state {
            case .free: continue
            case .read, .write:
                guard unsafe request(slot).pointee.file == number else { continue }
            case .particular:
                let detail = unsafe detail(slot).pointee
                guard detail.file == Int(number) || detail.second == Int(number) else { continue }
            }
            let names = mark(slot)
            if let threads = state.threads { for name in names { threads.cancel(name: name << 16 | UInt64(slot)) } }
        }
        guard state.threads == nil else { return }
        for handle in [record.handle, record.direct].compactMap({ $0 }) {
            var request = cdma_uring_sqe()
            request.opcode = Opcode.cancel
            request.fd = handle.descriptor
            request.operation_flags = CancelFlags.all | CancelFlags.file
            if handle.flags & EntryFlags.fixedFile != 0 { request.operation_flags |= CancelFlags.fixedFile }
            request.user_data = Self.ownName
            push(request)
        }
        submitIssued()
    }

    /// Remembers that a transaction's end was asked for, and ends it where nothing of it is with the carrier. Returns the names
    /// of what is, without the slot.
    private mutating func mark(_ slot: Int) -> [UInt64] {
        let stamp = unsafe request(slot).pointee.stamp
        guard unsafe request(slot).pointee.state == .particular else {
            state.cancelled[slot] = stamp
            return [stamp]
        }
        unsafe detail(slot).pointee.isCancelled = true
        switch unsafe detail(slot).pointee.phase {
        case .running, .polling:
            return (0..<max(unsafe detail(slot).pointee.parts, 1)).map { stamp | UInt64($0 + 1) }
        default:
            state.held.removeAll { $0 == slot }
            state.unissued.removeAll { $0 == slot }
            finish(slot, .aborted)
            return []
        }
    }

    /// Whether the end of a plain transaction was asked for.
    mutating func wasCancelled(_ slot: Int) -> Bool {
        guard let stamp = state.cancelled.removeValue(forKey: slot) else { return false }
        return stamp == (unsafe request(slot).pointee.stamp)
    }

    /// The ring belongs to another thread: whatever was issued here and not taken ends with EEXIST, as the kernel says.
    mutating func refuseIssued() {
        let taken = unsafe cdma_load_acquire32(view.submissionHead)
        var names: [UInt64] = []
        var index = taken
        while index != issued {
            names.append(unsafe view.submission(index).pointee.user_data)
            index &+= 1
        }
        // What is queued and not issued takes their places.
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
        for name in names where name != Self.ownName { refuse(Int(truncatingIfNeeded: name & slotMask)) }
    }

    private mutating func refuse(_ slot: Int) {
        if unsafe request(slot).pointee.state != .particular { promote(slot) }
        unsafe detail(slot).pointee.outstanding = max(detail(slot).pointee.outstanding - 1, 0)
        guard unsafe detail(slot).pointee.outstanding == 0 else { return }
        if detours.contains(.terminating) { return drop(slot) }
        let descriptor = unsafe detail(slot).pointee.descriptor
        let status: TransactionStatus =
            descriptor.kind != .peripheral ? .failed : descriptor.writes ? .writeFailed : .readFailed
        finish(slot, status, value: 17)
    }
}
