// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
public import DMAEngineKit
internal import SystemPackage

// From the kernel's completions to the engine's.

extension IOUringEngine {
    /// The slot in the names of requests that belong to no transaction.
    static var ownName: UInt64 { .max }

    /// `next`, where there is more to do than to report one plain completion.
    @usableFromInline @inline(never)
    mutating func nextSlowPath() -> Completion? {
        // SAFETY: the words are the ring's, which the state keeps, and accessed only by atomics.
        var hasAsked = false
        // Bounded: each iteration takes an entry of the ring or is the last.
        for _ in 0..<(Int(view.completionMask) + 64) {
            if let completion = takeReport() { return completion }
            if let completion = takeEntry() { return completion }
            if unsafe head != cdma_load_acquire32(view.completionTail) { continue }
            if hasAsked { break }
            hasAsked = true
            if detours.contains(.unsubmitted) { submitIssued() }
            let flags = unsafe cdma_load_acquire32(view.submissionFlags)
            let isTold = flags & (SubmissionFlags.taskRun | SubmissionFlags.overflow) != 0
            guard isTold || detours.contains(.polls) else { continue }
            let result = state.carrier.reap()
            note(result)
            if let errno = result.errno { loseIfUndelivered(errno) } else { state.stuckSince = nil }
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

    /// Takes one entry of the ring. Nil where there is none, or it does not end a transaction.
    mutating func takeEntry() -> Completion? {
        // SAFETY: the head is not the tail, so that the kernel has written the entry; the mask keeps the slot inside the
        // tables, whatever the entry contains.
        guard unsafe head != cdma_load_acquire32(view.completionTail) else { return nil }
        let entry = unsafe view.completion(head).pointee
        head &+= 1
        unsafe cdma_store_release32(view.completionHead, head)
        if entry.user_data == Self.ownName { return nil }
        let slot = Int(truncatingIfNeeded: entry.user_data & slotMask)
        let request = unsafe request(slot)
        // The slot, its use and whether it is on the slow path: the name without the number of the part.
        let part = entry.user_data >> 16 & 0xffff
        let isKnown =
            unsafe entry.user_data & 0xffff == UInt64(slot) && (entry.user_data >> 16) & ~0xffff == request.pointee.stamp
        switch unsafe request.pointee.state {
        case .read where isKnown && part == 0, .write where isKnown && part == 0:
            return plainRequestEnded(slot, KernelResult(entry.result))
        case .slowPath where isKnown && part != 0:
            slowPathRequestEnded(slot, part: Int(part) - 1, entry)
        default:
            state.statistics.unknownCompletions += 1
        }
        return nil
    }

    /// The end of a plain request. A short one continues as a slow-path transaction.
    private mutating func plainRequestEnded(_ slot: Int, _ result: KernelResult) -> Completion? {
        // SAFETY: the slot is in use for a plain request, whose file is a number of the table.
        let request = unsafe request(slot)
        if unsafe UInt64(bitPattern: Int64(result.rawValue)) == request.pointee.count {
            let tag = unsafe request.pointee.tag
            let number = unsafe Int(request.pointee.file)
            unsafe files[number].inFlight &-= 1
            let wasWrite = unsafe request.pointee.state == .write
            release(slot)
            // If the gate is closed, it was counted as in progress when that happened.
            if wasWrite, detours.contains(.gated), state.table.records[number]?.gate.isClosed ?? false {
                state.table.records[number]?.openDirect += 1
                endGate(number, .direct)
            }
            return Completion(tag: tag)
        }
        promote(slot)
        requestEnded(slot, result)
        return nil
    }

    /// Turns a plain transaction into a slow-path one, which has more state.
    mutating func promote(_ slot: Int) {
        // SAFETY: as above. The descriptor's addresses are those of the request, which were valid for the transaction.
        let request = unsafe request(slot)
        let writes = unsafe request.pointee.state == .write
        var descriptor = unsafe Descriptor(
            kind: .peripheral, source: writes ? request.pointee.address : 0, destination: writes ? 0 : request.pointee.address,
            count: request.pointee.count, value: request.pointee.position)
        descriptor.sourceCount = writes ? 1 : 0
        descriptor.destinationCount = writes ? 0 : 1
        unsafe descriptor.detail[0] = UInt64(request.pointee.file) + 1
        unsafe transaction(slot).pointee.begin(descriptor, file: Int(request.pointee.file))
        unsafe request.pointee.state = .slowPath
        if wasCancelled(slot) { unsafe transaction(slot).pointee.isCancelled = true }
        let isDirect = record(of: slot)?.direct != nil
        apply(.promoted(isDirect: isDirect), to: slot)
        if isDirect, writes {
            unsafe transaction(slot).pointee.gate = .direct
            state.table.records[Int(unsafe request.pointee.file)]?.openDirect += 1
        }
    }

    /// The end of one of a slow-path transaction's requests.
    private mutating func slowPathRequestEnded(_ slot: Int, part: Int, _ entry: cdma_uring_cqe) {
        // SAFETY: the caller has checked that the name belongs to a request of the slot's present use.
        guard unsafe transaction(slot).pointee.outstanding > 0 else {
            state.statistics.unknownCompletions += 1
            return
        }
        let more = entry.flags & CompletionFlags.more != 0
        if unsafe transaction(slot).pointee.descriptor.kind == .cyclic {
            if !more { unsafe transaction(slot).pointee.outstanding -= 1 }
            if detours.contains(.terminating) {
                if !more { drop(slot) }
                return
            }
            return cyclicRequestEnded(slot, KernelResult(entry.result), flags: entry.flags, more: more)
        }
        if more {
            // A zero-copy send: the bytes are queued, and the kernel still reads the memory.
            if apply(.sent(entry.result), to: slot) { state.statistics.zeroCopySends += 1 }
            return
        }
        unsafe transaction(slot).pointee.outstanding -= 1
        switch unsafe transaction(slot).pointee.state {
        case .running(.sent(let result)) where entry.flags & CompletionFlags.notification != 0:
            // IORING_NOTIF_USAGE_ZC_COPIED
            if entry.result < 0 { state.statistics.zeroCopyCopied += 1 }
            requestEnded(slot, KernelResult(result))
        case .running(.chain):
            apply(.part(part, result: entry.result), to: slot)
            guard unsafe transaction(slot).pointee.outstanding == 0,
                case .running(.chain(let chain)) = unsafe transaction(slot).pointee.state
            else { return }
            requestEnded(slot, KernelResult(chain.result))
        default:
            requestEnded(slot, KernelResult(entry.result))
        }
    }

    /// Continues after a request, or ends the transaction.
    private mutating func requestEnded(_ slot: Int, _ result: KernelResult) {
        // SAFETY: as above.
        if detours.contains(.terminating) { return terminatedRequestEnded(slot, result) }
        let wasPolling = unsafe transaction(slot).pointee.state.isPolling
        switch unsafe transaction(slot).pointee.descriptor.kind {
        case _ where wasPolling && result.errno == nil:
            proceed(slot)
        case .null:
            guard let errno = result.errno else { return finish(slot, .complete) }
            if !retries(slot, after: errno) { fail(slot, errno) }
        case .command:
            commandRequestEnded(slot, result)
        default:
            transferRequestEnded(slot, result)
        }
    }

    /// A terminated transaction ends with its running request; it is reported only if that completed it (rule 16).
    private mutating func terminatedRequestEnded(_ slot: Int, _ result: KernelResult) {
        // SAFETY: as above.
        let isTransfer = unsafe transaction(slot).pointee.descriptor.kind == .peripheral
        let wasPolling = unsafe transaction(slot).pointee.state.isPolling
        let count = unsafe transaction(slot).pointee.descriptor.count
        guard result.errno == nil, !wasPolling else { return drop(slot) }
        let moved = isTransfer ? UInt64(result.rawValue) : count
        unsafe transaction(slot).pointee.done += min(moved, count - (unsafe transaction(slot).pointee.done))
        let isWhole = unsafe transaction(slot).pointee.done == count
        if isWhole { finish(slot, .complete) } else { drop(slot) }
    }

    // MARK: Ends

    /// Ends a slow-path transaction because of an error.
    mutating func fail(_ slot: Int, _ errno: Errno) {
        // SAFETY: callers pass numbers of slots in use.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let isRead = descriptor.kind == .cyclic ? !descriptor.cyclicWrites : !descriptor.writes
        let isTransfer = descriptor.kind == .peripheral || descriptor.kind == .cyclic
        finish(slot, !isTransfer ? .failed : isRead ? .readFailed : .writeFailed, errno)
    }

    /// Ends a slow-path transaction: the next call of `next` reports its completion.
    mutating func finish(_ slot: Int, _ status: TransactionStatus, _ errno: Errno? = nil) {
        // SAFETY: as above.
        let detail = unsafe transaction(slot).pointee
        let residue = detail.descriptor.count - min(detail.done, detail.descriptor.count)
        let tag = unsafe request(slot).pointee.tag
        if detail.descriptor.flags.contains(.interrupt) { state.line.raise() }
        releaseFiles(slot)
        release(slot)
        state.reports.append(Completion(tag: tag, status: status, residue: residue, value: UInt64(errno?.rawValue ?? 0)))
        detours.insert(.reports)
    }

    /// Ends a transaction that will not be reported. Its residue can still be queried.
    mutating func drop(_ slot: Int) {
        // SAFETY: as above; the file of a slot in use is a number of the table, or -1.
        if unsafe request(slot).pointee.state == .slowPath {
            let detail = unsafe transaction(slot).pointee
            unsafe request(slot).pointee.count = detail.descriptor.count - min(detail.done, detail.descriptor.count)
            releaseFiles(slot)
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

    /// A slow-path transaction releases its files.
    private mutating func releaseFiles(_ slot: Int) {
        // SAFETY: as above.
        endTurn(slot)
        let detail = unsafe transaction(slot).pointee
        if detail.file >= 0 {
            state.table.records[detail.file]?.gate.forget(slot)
            if let kind = detail.gate { endGate(detail.file, kind) }
        }
        if detail.file >= 0 { unsafe files[detail.file].inFlight &-= 1 }
        if detail.second >= 0 { unsafe files[detail.second].inFlight &-= 1 }
        apply(.ended, to: slot)
        if detail.descriptor.kind == .cyclic { state.rings[slot] = nil }
    }

    /// Frees a slot; names of its last use become invalid.
    private mutating func release(_ slot: Int) {
        // SAFETY: a slot is freed once for each time it was taken: the list of free ones has room for all.
        let request = unsafe request(slot)
        unsafe request.pointee.stamp = (request.pointee.stamp &+ 0x1_0000) & 0xffff_ffff_ffff
        unsafe request.pointee.state = .free
        unsafe free[freeCount] = UInt16(truncatingIfNeeded: slot)
        freeCount += 1
    }
}
