// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

// Transfers between memory and a file that take more than one plain request: lists, streams, the rest of a short one.

/// The most that one request moves: the kernel's MAX_RW_COUNT on pages of 4 KiB. Bytes.
let requestLimit: UInt64 = 0x7fff_f000

extension IOUringEngine {
    /// Makes the next request of a transfer.
    mutating func moveOn(_ slot: Int) {
        guard let record = record(of: slot) else {
            finish(slot, .failed, value: 9)
            return
        }
        let done = unsafe detail(slot).pointee.done
        let descriptor = unsafe detail(slot).pointee.descriptor
        let position = descriptor.place.position.map { $0 + done }
        let rest = descriptor.count - done
        let writes = descriptor.sourceCount > 0
        // Pipes and sockets know no positions, whatever the client says.
        let knowsPositions = record.kind != .pipe && record.kind != .socket
        let offset = knowsPositions ? position ?? .max : .max
        var (index, skip) = place(done, in: descriptor)
        while segment(index, of: descriptor).count == skip, index + 1 < number(of: descriptor) {
            (index, skip) = (index + 1, 0)
        }
        let first = segment(index, of: descriptor)
        var request: cdma_uring_sqe
        if first.count - skip >= rest || first.count - skip >= requestLimit {
            request = entry(writes ? Opcode.write : Opcode.read, record.handle, slot: slot)
            request.address = first.address + skip
            request.length = UInt32(min(first.count - skip, rest, requestLimit))
            if record.kind == .socket {
                request.opcode = writes ? Opcode.send : Opcode.receive
                // MSG_NOSIGNAL
                request.operation_flags = writes ? 0x4000 : 0
            }
        } else {
            request = entry(writes ? Opcode.writev : Opcode.readv, record.handle, slot: slot)
            let (list, count) = unsafe list(slot, from: index, skip: skip)
            request.address = UInt64(UInt(bitPattern: list))
            request.length = UInt32(count)
        }
        if request.opcode != Opcode.send, request.opcode != Opcode.receive {
            request.offset = offset
            // RWF_NOSIGNAL: a broken pipe is an error, and ends no process.
            if writes, record.kind == .pipe, state.hasNoSignal { request.operation_flags = 0x100 }
        }
        if state.threads != nil { request.personality = record.isStream ? ThreadOperation.mayWait : 0 }
        push(request, of: slot)
    }

    private func number(of descriptor: Descriptor) -> Int { Int(max(descriptor.sourceCount, descriptor.destinationCount)) }

    private func segment(_ index: Int, of descriptor: Descriptor) -> Segment {
        if unsafe descriptor.operands == nil {
            let writes = descriptor.sourceCount > 0
            return Segment(address: writes ? descriptor.source : descriptor.destination, count: descriptor.count)
        }
        return descriptor.sourceCount > 0 ? descriptor.sourceSegment(index) : descriptor.destinationSegment(index)
    }

    /// The segment in which byte `offset` lies, and how far into it.
    private func place(_ offset: UInt64, in descriptor: Descriptor) -> (Int, UInt64) {
        var left = offset
        for index in 0..<number(of: descriptor) {
            let count = segment(index, of: descriptor).count
            if left < count { return (index, left) }
            left -= count
        }
        return (max(number(of: descriptor) - 1, 0), 0)
    }

    /// The list from a place on, as the kernel takes it: the client's own, or with the first segment cut a copy of it.
    @unsafe
    private mutating func list(_ slot: Int, from index: Int, skip: UInt64) -> (UnsafePointer<Segment>?, Int) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        // IOV_MAX: more would be refused.
        let count = min(number(of: descriptor) - index, 1024)
        guard let operands = unsafe descriptor.operands else { return (nil, 0) }
        // A list of one side alone: the segments of that side stand first.
        if skip == 0 { return unsafe (operands + index, count) }
        let room = max(state.capabilities.maximumSegments, count)
        let scratch = unsafe detail(slot).pointee.scratch ?? UnsafeMutablePointer<Segment>.allocate(capacity: room)
        unsafe detail(slot).pointee.scratch = unsafe scratch
        for step in 0..<min(count, room) {
            var segment = segment(index + step, of: descriptor)
            if step == 0 { segment = Segment(address: segment.address + skip, count: segment.count - skip) }
            unsafe (scratch + step).initialize(to: segment)
        }
        return unsafe (UnsafePointer(scratch), count)
    }

    /// What a request of a transfer came to.
    mutating func settleTransfer(_ slot: Int, _ result: Int32) {
        guard result > 0 else { return settleStop(slot, result) }
        let count = unsafe detail(slot).pointee.descriptor.count
        let moved = min(UInt64(result), count - (unsafe detail(slot).pointee.done))
        unsafe detail(slot).pointee.done += moved
        unsafe detail(slot).pointee.retries = 0
        let isWhole = unsafe detail(slot).pointee.done == count
        if isWhole { return finish(slot, .complete) }
        if let record = record(of: slot), record.file.endsShort, record.isStream, unsafe !detail(slot).pointee.writes {
            return finish(slot, .complete)
        }
        state.statistics.continuations += 1
        goOn(slot)
    }

    /// A request that moved nothing.
    private mutating func settleStop(_ slot: Int, _ result: Int32) {
        let writes = unsafe detail(slot).pointee.writes
        let isEmpty = unsafe detail(slot).pointee.descriptor.count == 0
        switch result {
        case 0 where !writes || isEmpty:
            // The end of the file, or of the stream.
            finish(slot, .complete)
        case -95 where writes && state.hasNoSignal:
            state.hasNoSignal = false
            goOn(slot)
        case 0:
            // A write of nothing is no way to go on for ever.
            finish(slot, .writeFailed, value: 5)
        default:
            if retries(slot, after: result) { return }
            finish(slot, writes ? .writeFailed : .readFailed, value: UInt64(-Int64(result)))
        }
    }

    /// Whether a refusal is one that passes, and the transaction goes on after it. Bounded.
    mutating func retries(_ slot: Int, after result: Int32) -> Bool {
        guard result == -11 || result == -4 || result == -125 else { return false }
        unsafe detail(slot).pointee.retries += 1
        guard unsafe detail(slot).pointee.retries <= 1000 else { return false }
        state.statistics.retries += 1
        if result == -11, let record = record(of: slot), record.isStream {
            // A descriptor that was opened not to wait: wait for it here.
            var poll = entry(Opcode.pollAdd, record.handle, slot: slot)
            // POLLOUT, POLLIN
            poll.operation_flags = unsafe detail(slot).pointee.writes ? 4 : 1
            push(poll, of: slot)
            unsafe detail(slot).pointee.phase = .polling
            submitIssued()
        } else {
            goOn(slot)
        }
        return true
    }

    /// The next request of a transaction that runs; at the end of the pause, in a pause.
    mutating func goOn(_ slot: Int) {
        if detours.contains(.paused) {
            unsafe detail(slot).pointee.phase = .held
            state.held.append(slot)
            return
        }
        if unsafe detail(slot).pointee.descriptor.kind == .command { startCommand(slot) } else { moveOn(slot) }
        submitIssued()
    }
}
