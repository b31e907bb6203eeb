// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

// Transfers between memory and a file that take more than one plain request: lists, streams, unaligned ones of direct files,
// the rest of a short one.

/// The most that one request moves: the kernel's MAX_RW_COUNT on pages of 4 KiB. Bytes.
let requestLimit: UInt64 = 0x7fff_f000

/// A piece of a transfer that one request moves.
struct Piece {
    var offset: UInt64
    var count: UInt64
    var isDirect: Bool
}

extension IOUringEngine {
    /// Makes the next request of a transfer, or the next few.
    mutating func moveOn(_ slot: Int) {
        guard let record = record(of: slot) else {
            finish(slot, .failed, value: 9)
            return
        }
        if let namespace = record.namespace { return moveOnNamespace(slot, namespace, record) }
        if unsafe detail(slot).pointee.done == 0, record.direct != nil, startChain(slot, record) { return }
        let piece = piece(slot, at: unsafe detail(slot).pointee.done, record)
        unsafe detail(slot).pointee.isDirect = piece.isDirect
        push(transfer(slot, piece, record), of: slot)
    }

    /// The request that moves one piece.
    private mutating func transfer(_ slot: Int, _ piece: Piece, _ record: FileRecord, part: Int = 0) -> cdma_uring_sqe {
        let descriptor = unsafe detail(slot).pointee.descriptor
        let writes = descriptor.writes
        let handle = piece.isDirect ? record.direct ?? record.handle : record.handle
        // Pipes and sockets know no positions, whatever the client says.
        let knowsPositions = record.kind != .pipe && record.kind != .socket
        var (index, skip) = descriptor.place(of: piece.offset)
        while descriptor.segment(index).count == skip, index + 1 < descriptor.segments { (index, skip) = (index + 1, 0) }
        let first = descriptor.segment(index)
        var request: cdma_uring_sqe
        if first.count - skip >= piece.count || first.count - skip >= requestLimit {
            request = entry(writes ? Opcode.write : Opcode.read, handle, slot: slot, part: UInt64(part))
            request.address = first.address + skip
            request.length = UInt32(min(piece.count, requestLimit))
            if record.kind == .socket {
                request.opcode = writes ? Opcode.send : Opcode.receive
                // MSG_NOSIGNAL
                request.operation_flags = writes ? 0x4000 : 0
                if writes, sendsZeroCopy(piece, record) {
                    request.opcode = Opcode.sendZeroCopy
                    // IORING_SEND_ZC_REPORT_USAGE
                    request.ioprio = 8
                }
            } else if !record.isStream, let window = window(request.address, UInt64(request.length)) {
                request.opcode = writes ? Opcode.writeFixed : Opcode.readFixed
                request.buffer = window
                fixedRequests &+= 1
            }
        } else {
            request = entry(writes ? Opcode.writev : Opcode.readv, handle, slot: slot, part: UInt64(part))
            let (list, count) = unsafe list(slot, from: index, skip: skip, count: piece.count)
            request.address = UInt64(UInt(bitPattern: list))
            request.length = UInt32(count)
            if record.kind == .socket { makeMessage(&request, slot, piece, record) }
        }
        if record.kind != .socket {
            request.offset = knowsPositions ? descriptor.place.position.map { $0 + piece.offset } ?? .max : .max
            // RWF_NOSIGNAL: a broken pipe is an error, and ends no process.
            if writes, record.kind == .pipe, state.hasNoSignal { request.operation_flags = 0x100 }
        }
        if state.threads != nil { request.personality = record.isStream ? ThreadOperation.mayWait : 0 }
        return request
    }

    // MARK: Sockets

    /// Whether a send is large enough that notifying costs less than copying.
    private func sendsZeroCopy(_ piece: Piece, _ record: FileRecord) -> Bool {
        record.sendsZeroCopy && piece.count >= UInt64(state.configuration.zeroCopyThreshold)
            && state.carrier.operations[Int(Opcode.sendZeroCopy)]
    }

    /// A list becomes a message: a plain vector could not say that a broken connection is to send no signal.
    private func makeMessage(_ request: inout cdma_uring_sqe, _ slot: Int, _ piece: Piece, _ record: FileRecord) {
        let writes = unsafe detail(slot).pointee.writes
        let message = unsafe detail(slot).pointee.message ?? UnsafeMutablePointer<cdma_message>.allocate(capacity: 1)
        unsafe detail(slot).pointee.message = unsafe message
        var header = cdma_message()
        header.segments = request.address
        header.count = UInt64(request.length)
        unsafe message.initialize(to: header)
        request.opcode = writes ? Opcode.sendMessage : Opcode.receiveMessage
        if writes, sendsZeroCopy(piece, record) {
            request.opcode = Opcode.sendMessageZeroCopy
            request.ioprio = 8
        }
        request.address = UInt64(UInt(bitPattern: message))
        request.length = 1
        request.operation_flags = writes ? 0x4000 : 0
    }

    /// The list from a place on, as the kernel takes it: the client's own where all of it is meant, else a copy.
    @unsafe
    private mutating func list(
        _ slot: Int, from index: Int, skip: UInt64, count bytes: UInt64
    ) -> (UnsafePointer<Segment>?, Int) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        // IOV_MAX: more would be refused.
        let count = min(descriptor.segments - index, 1024)
        guard let operands = unsafe descriptor.operands else { return (nil, 0) }
        // A list of one side alone: the segments of that side stand first.
        let isWhole = bytes == descriptor.count - (unsafe detail(slot).pointee.done)
        if skip == 0, isWhole { return unsafe (operands + index, count) }
        let room = max(state.capabilities.maximumSegments, count)
        let scratch = unsafe detail(slot).pointee.scratch ?? UnsafeMutablePointer<Segment>.allocate(capacity: room)
        unsafe detail(slot).pointee.scratch = unsafe scratch
        var left = bytes
        var filled = 0
        while filled < min(count, room), left > 0 {
            var segment = descriptor.segment(index + filled)
            if filled == 0 { segment = Segment(address: segment.address + skip, count: segment.count - skip) }
            segment.count = min(segment.count, left)
            left -= segment.count
            unsafe (scratch + filled).initialize(to: segment)
            filled += 1
        }
        return unsafe (UnsafePointer(scratch), filled)
    }

    // MARK: Past the page cache

    /// What the next request moves, from byte `offset` on.
    private mutating func piece(_ slot: Int, at offset: UInt64, _ record: FileRecord) -> Piece {
        let detail = unsafe detail(slot).pointee
        let rest = detail.descriptor.count - offset
        guard record.direct != nil, !detail.avoidsDirect, let start = detail.descriptor.place.position else {
            return Piece(offset: offset, count: rest, isDirect: false)
        }
        let mask = detail.writes ? record.writeMask : record.readMask
        let position = start + offset
        if position & mask != 0 {
            return Piece(offset: offset, count: min(rest, mask + 1 - (position & mask)), isDirect: false)
        }
        let middle = min(rest, requestLimit) & ~mask
        guard middle > 0 else { return Piece(offset: offset, count: rest, isDirect: false) }
        guard detail.descriptor.isAligned(record.memoryMask, from: offset, count: middle) else {
            // Somewhere in memory the device cannot reach; the page cache can.
            unsafe self.detail(slot).pointee.avoidsDirect = true
            state.statistics.misalignedTransactions += 1
            return Piece(offset: offset, count: rest, isDirect: false)
        }
        return Piece(offset: offset, count: middle, isDirect: true)
    }

    /// How a write stands to its file's gate.
    mutating func gateKind(_ slot: Int, _ record: FileRecord) -> WriteGate.Kind {
        let descriptor = unsafe detail(slot).pointee.descriptor
        guard record.direct != nil, let start = descriptor.place.position else { return .buffered }
        let first = piece(slot, at: 0, record)
        if first.isDirect { return first.count == descriptor.count ? .direct : .mixed }
        if first.count == descriptor.count { return .buffered }
        // A head; whether anything after it is direct, the memory decides.
        let rest = piece(slot, at: first.count, record)
        _ = start
        return rest.isDirect ? .mixed : .buffered
    }

    /// Head, middle and tail of a contiguous transfer go to the kernel at once, linked so that they run one after the other.
    /// False where there is but one part, or it is not so simple.
    private mutating func startChain(_ slot: Int, _ record: FileRecord) -> Bool {
        let descriptor = unsafe detail(slot).pointee.descriptor
        guard descriptor.segments == 1, descriptor.count <= requestLimit else { return false }
        var pieces: [Piece] = []
        var offset: UInt64 = 0
        while offset < descriptor.count, pieces.count < 3 {
            let piece = piece(slot, at: offset, record)
            pieces.append(piece)
            offset += piece.count
        }
        guard pieces.count > 1, offset == descriptor.count else { return false }
        unsafe detail(slot).pointee.parts = pieces.count
        unsafe detail(slot).pointee.moved = .zero
        for (index, piece) in pieces.enumerated() {
            var request = transfer(slot, piece, record, part: index)
            if index + 1 < pieces.count { request.flags |= EntryFlags.link }
            unsafe detail(slot).pointee.chain[index] = Int64(piece.count)
            unsafe detail(slot).pointee.isDirect = piece.isDirect
            push(request, of: slot)
        }
        return true
    }

    /// What a chain whose requests are all over came to, as if it had been one: the bytes up to the first that is missing, or
    /// why there are none.
    func chainResult(_ slot: Int) -> Int32 {
        let detail = unsafe detail(slot).pointee
        var sum: Int64 = 0
        for part in 0..<min(detail.parts, 4) {
            let moved = detail.moved[part]
            if moved < 0 { return sum > 0 ? Int32(sum) : Int32(moved) }
            sum += min(moved, detail.chain[part])
            if moved < detail.chain[part] { break }
        }
        return Int32(clamping: sum)
    }

    // MARK: Ends of requests

    /// What a request of a transfer came to.
    mutating func settleTransfer(_ slot: Int, _ result: Int32) {
        if record(of: slot)?.namespace != nil { return settleNamespace(slot, result) }
        guard result > 0 else { return settleStop(slot, result) }
        let count = unsafe detail(slot).pointee.descriptor.count
        let moved = min(UInt64(result), count - (unsafe detail(slot).pointee.done))
        countBytes(slot, moved)
        unsafe detail(slot).pointee.done += moved
        unsafe detail(slot).pointee.retries = 0
        unsafe detail(slot).pointee.parts = 0
        let isWhole = unsafe detail(slot).pointee.done == count
        if isWhole { return finish(slot, .complete) }
        if let record = record(of: slot), record.file.endsShort, record.isStream, unsafe !detail(slot).pointee.writes {
            return finish(slot, .complete)
        }
        state.statistics.continuations += 1
        goOn(slot)
    }

    private mutating func countBytes(_ slot: Int, _ moved: UInt64) {
        guard let record = record(of: slot), record.direct != nil else { return }
        let detail = unsafe detail(slot).pointee
        guard detail.parts > 0 else {
            if detail.isDirect { state.statistics.directBytes += moved } else { state.statistics.bufferedBytes += moved }
            return
        }
        // Of head, middle and tail the longest is the middle: the others are shorter than a page.
        var left = Int64(clamping: moved)
        let mask = Int64(clamping: detail.writes ? record.writeMask : record.readMask)
        for part in 0..<min(detail.parts, 4) {
            let bytes = UInt64(max(min(left, detail.chain[part]), 0))
            if detail.chain[part] & mask == 0 {
                state.statistics.directBytes += bytes
            } else {
                state.statistics.bufferedBytes += bytes
            }
            left -= detail.chain[part]
        }
    }

    /// A request that moved nothing.
    private mutating func settleStop(_ slot: Int, _ result: Int32) {
        let writes = unsafe detail(slot).pointee.writes
        let isEmpty = unsafe detail(slot).pointee.descriptor.count == 0
        let wasDirect = unsafe detail(slot).pointee.isDirect || detail(slot).pointee.parts > 0
        unsafe detail(slot).pointee.parts = 0
        switch result {
        case 0 where !writes || isEmpty:
            // The end of the file, or of the stream.
            finish(slot, .complete)
        case -95 where writes && state.hasNoSignal && record(of: slot)?.kind == .pipe:
            state.hasNoSignal = false
            goOn(slot)
        case -95 where writes && record(of: slot)?.sendsZeroCopy ?? false && record(of: slot)?.kind == .socket:
            // A kind of socket that has no such send.
            let number = unsafe detail(slot).pointee.file
            state.table.records[number]?.sendsZeroCopy = false
            state.statistics.zeroCopyRefusals += 1
            goOn(slot)
        case -22 where wasDirect, -95 where wasDirect:
            // A device that asks for more than it says, or a file system that only let itself be opened so.
            unsafe detail(slot).pointee.avoidsDirect = true
            state.statistics.directRefusals += 1
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
        if result == -125, unsafe detail(slot).pointee.isCancelled {
            finish(slot, .aborted)
            return true
        }
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
        if unsafe detail(slot).pointee.isCancelled { return finish(slot, .aborted) }
        if detours.contains(.paused) {
            unsafe detail(slot).pointee.phase = .held
            state.held.append(slot)
            return
        }
        switch unsafe detail(slot).pointee.descriptor.kind {
        case .command: startCommand(slot)
        case .peripheral: moveOn(slot)
        default: start(slot)
        }
        submitIssued()
    }
}
