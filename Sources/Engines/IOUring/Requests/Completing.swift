// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
public import DMAEngineKit

// From the kernel's completions to ours.

extension IOUringEngine {
    /// Stands in the names of requests that belong to no transaction.
    static var ownName: UInt64 { .max }

    /// `next`, where there is more to do than to hand out one plain completion.
    @usableFromInline @inline(never)
    mutating func nextParticular() -> Completion? {
        var hasAsked = false
        // Bounded: each turn takes an entry of the ring or is the last.
        for _ in 0..<(Int(view.completionMask) + 64) {
            if let completion = takeReport() { return completion }
            if let completion = takeEntry() { return completion }
            if unsafe head != cdma_load_acquire32(view.completionTail) { continue }
            if hasAsked { break }
            hasAsked = true
            if detours.contains(.unsubmitted) { submitIssued() }
            let flags = unsafe cdma_load_acquire32(view.submissionFlags)
            let isTold = flags & (SubmissionFlags.taskRun | SubmissionFlags.overflow) != 0
            if isTold || detours.contains(.polls) { _ = state.carrier.reap() }
        }
        return takeReport()
    }

    private mutating func takeReport() -> Completion? {
        guard detours.contains(.reports) else { return nil }
        let completion = state.reports[state.reported]
        state.reported += 1
        if state.reported == state.reports.count {
            state.reports.removeAll(keepingCapacity: true)
            state.reported = 0
            detours.remove(.reports)
        }
        return completion
    }

    /// Takes one entry of the ring. Nil where there is none, or none that ends a transaction.
    mutating func takeEntry() -> Completion? {
        guard unsafe head != cdma_load_acquire32(view.completionTail) else { return nil }
        let entry = unsafe view.completion(head).pointee
        head &+= 1
        unsafe cdma_store_release32(view.completionHead, head)
        if entry.user_data == Self.ownName { return nil }
        let slot = Int(truncatingIfNeeded: entry.user_data & slotMask)
        let request = unsafe request(slot)
        // The slot, its use and whether it is particular: all of the name but the number of the part.
        let part = entry.user_data >> 16 & 0xffff
        let isKnown =
            unsafe entry.user_data & 0xffff == UInt64(slot) && (entry.user_data >> 16) & ~0xffff == request.pointee.stamp
        switch unsafe request.pointee.state {
        case .read where isKnown && part == 0, .write where isKnown && part == 0:
            return settlePlain(slot, entry.result)
        case .particular where isKnown && part != 0:
            settle(slot, part: Int(part) - 1, entry)
        default:
            state.statistics.strangers += 1
        }
        return nil
    }

    /// A plain request's end. One that is not whole goes on as a particular transaction.
    private mutating func settlePlain(_ slot: Int, _ result: Int32) -> Completion? {
        let request = unsafe request(slot)
        if unsafe UInt64(bitPattern: Int64(result)) == request.pointee.count {
            let tag = unsafe request.pointee.tag
            let number = unsafe Int(request.pointee.file)
            unsafe files[number].inFlight &-= 1
            let wasWrite = unsafe request.pointee.state == .write
            release(slot)
            // It was counted, if the gate is closed, as one that was under way when that happened.
            if wasWrite, detours.contains(.gated), state.table.records[number]?.gate.isClosed ?? false {
                state.table.records[number]?.openDirect += 1
                endGate(number, .direct)
            }
            return Completion(tag: tag)
        }
        promote(slot)
        unsafe detail(slot).pointee.phase = .running
        conclude(slot, result)
        return nil
    }

    /// A plain transaction becomes a particular one, which has more to be said of it.
    mutating func promote(_ slot: Int) {
        let request = unsafe request(slot)
        let writes = unsafe request.pointee.state == .write
        var descriptor = unsafe Descriptor(
            kind: .peripheral, source: writes ? request.pointee.address : 0, destination: writes ? 0 : request.pointee.address,
            count: request.pointee.count, value: request.pointee.position)
        descriptor.sourceCount = writes ? 1 : 0
        descriptor.destinationCount = writes ? 0 : 1
        unsafe descriptor.detail[0] = UInt64(request.pointee.file) + 1
        unsafe detail(slot).pointee.begin(descriptor, file: Int(request.pointee.file))
        unsafe request.pointee.state = .particular
        if wasCancelled(slot) { unsafe detail(slot).pointee.isCancelled = true }
        if let record = record(of: slot), record.direct != nil {
            unsafe detail(slot).pointee.isDirect = true
            if writes {
                unsafe detail(slot).pointee.gate = .direct
                state.table.records[Int(unsafe request.pointee.file)]?.openDirect += 1
            }
        }
    }

    /// One of a particular transaction's requests is over.
    private mutating func settle(_ slot: Int, part: Int, _ entry: cdma_uring_cqe) {
        guard unsafe detail(slot).pointee.outstanding > 0 else {
            state.statistics.strangers += 1
            return
        }
        let more = entry.flags & CompletionFlags.more != 0
        if unsafe detail(slot).pointee.descriptor.kind == .cyclic {
            if !more { unsafe detail(slot).pointee.outstanding -= 1 }
            if detours.contains(.terminating) {
                if !more { drop(slot) }
                return
            }
            return settleCyclic(slot, entry.result, flags: entry.flags, more: more)
        }
        if more {
            // A zero-copy send: the bytes are on their way, and the memory is still read.
            unsafe detail(slot).pointee.sent = entry.result
            state.statistics.zeroCopySends += 1
            return
        }
        unsafe detail(slot).pointee.outstanding -= 1
        if entry.flags & CompletionFlags.notification != 0 {
            // IORING_NOTIF_USAGE_ZC_COPIED
            if entry.result < 0 { state.statistics.zeroCopyCopied += 1 }
            return conclude(slot, unsafe detail(slot).pointee.sent)
        }
        guard unsafe detail(slot).pointee.parts > 0 else { return conclude(slot, entry.result) }
        if part >= 0, part < 4 { unsafe detail(slot).pointee.moved[part] = Int64(entry.result) }
        if unsafe detail(slot).pointee.outstanding == 0 { conclude(slot, chainResult(slot)) }
    }

    /// Goes on after a request, or ends the transaction.
    private mutating func conclude(_ slot: Int, _ result: Int32) {
        if detours.contains(.terminating) { return concludeTerminated(slot, result) }
        let wasPolling = unsafe detail(slot).pointee.phase == .polling
        switch unsafe detail(slot).pointee.descriptor.kind {
        case _ where wasPolling && result >= 0:
            goOn(slot)
        case .null:
            if result < 0, retries(slot, after: result) { return }
            finish(slot, result < 0 ? .failed : .complete, value: result < 0 ? UInt64(-Int64(result)) : 0)
        case .command:
            settleCommand(slot, result)
        default:
            settleTransfer(slot, result)
        }
    }

    /// What was terminated ends with the request that runs; it is reported only where that made it whole (rule 16).
    private mutating func concludeTerminated(_ slot: Int, _ result: Int32) {
        let isTransfer = unsafe detail(slot).pointee.descriptor.kind == .peripheral
        let wasPolling = unsafe detail(slot).pointee.phase == .polling
        let count = unsafe detail(slot).pointee.descriptor.count
        if result >= 0, !wasPolling {
            let moved = isTransfer ? UInt64(result) : count
            unsafe detail(slot).pointee.done += min(moved, count - (unsafe detail(slot).pointee.done))
        }
        let isWhole = unsafe detail(slot).pointee.done == count
        if result >= 0, !wasPolling, isWhole { finish(slot, .complete) } else { drop(slot) }
    }

    // MARK: Ends

    /// Ends a particular transaction: its completion is reported by the next call of `next`.
    mutating func finish(_ slot: Int, _ status: TransactionStatus, value: UInt64 = 0) {
        let detail = unsafe detail(slot).pointee
        let residue = detail.descriptor.count - min(detail.done, detail.descriptor.count)
        let tag = unsafe request(slot).pointee.tag
        if detail.descriptor.flags.contains(.interrupt) { state.line.raise() }
        leave(slot)
        release(slot)
        state.reports.append(Completion(tag: tag, status: status, residue: residue, value: value))
        detours.insert(.reports)
    }

    /// Ends a transaction that will not be reported. What is left of it can still be asked for.
    mutating func drop(_ slot: Int) {
        if unsafe request(slot).pointee.state == .particular {
            let detail = unsafe detail(slot).pointee
            unsafe request(slot).pointee.count = detail.descriptor.count - min(detail.done, detail.descriptor.count)
            leave(slot)
        } else {
            let number = unsafe Int(request(slot).pointee.file)
            let wasWrite = unsafe request(slot).pointee.state == .write
            unsafe files[number].inFlight &-= 1
            if wasWrite, state.table.records[number]?.gate.isClosed ?? false {
                state.table.records[number]?.openDirect += 1
                endGate(number, .direct)
            }
        }
        release(slot)
    }

    /// A particular transaction lets go of its files.
    private mutating func leave(_ slot: Int) {
        endTurn(slot)
        let detail = unsafe detail(slot).pointee
        if detail.file >= 0 {
            state.table.records[detail.file]?.gate.forget(slot)
            if let kind = detail.gate { endGate(detail.file, kind) }
        }
        if detail.file >= 0 { unsafe files[detail.file].inFlight &-= 1 }
        if detail.second >= 0 { unsafe files[detail.second].inFlight &-= 1 }
        unsafe self.detail(slot).pointee.phase = .unused
        if detail.descriptor.kind == .cyclic { state.rings[slot] = nil }
    }

    /// Gives a slot back; names of its last use are known no more.
    private mutating func release(_ slot: Int) {
        let request = unsafe request(slot)
        unsafe request.pointee.stamp = (request.pointee.stamp &+ 0x1_0000) & 0xffff_ffff_ffff
        unsafe request.pointee.state = .free
        unsafe free[freeCount] = UInt16(truncatingIfNeeded: slot)
        freeCount += 1
    }
}
