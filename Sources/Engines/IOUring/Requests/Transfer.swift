// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import SystemPackage

// Transfers between memory and a file that take more than one plain request: lists, streams, unaligned ones of direct files,
// the rest of a short one.

/// The maximum length of one request: the kernel's MAX_RW_COUNT with pages of 4 KiB. Bytes.
let requestLimit: UInt64 = 0x7fff_f000

/// A piece of a transfer that one request moves.
struct TransferPiece {
    var offset: UInt64
    var count: UInt64
    var isDirect: Bool
}

extension IOUringEngine {
    /// Makes the next request of a transfer, or the next few.
    mutating func requestNext(_ slot: Int) {
        // SAFETY: callers pass numbers of slots in use.
        guard let record = record(of: slot) else {
            return finish(slot, .failed, .badFileDescriptor)
        }
        if let namespace = record.namespace { return requestNextCommand(slot, namespace, record) }
        if unsafe transaction(slot).pointee.done == 0, record.direct != nil, startChain(slot, record) { return }
        let piece = piece(slot, at: unsafe transaction(slot).pointee.done, record)
        push(transfer(slot, piece, record), of: slot, .single(isDirect: piece.isDirect))
    }

    /// The request that moves one piece.
    private mutating func transfer(_ slot: Int, _ piece: TransferPiece, _ record: FileRecord, part: Int = 0) -> cdma_uring_sqe {
        // SAFETY: as above; the address of a request is that of a segment, and its length stays inside. A list lives until the
        // transaction has ended.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let writes = descriptor.writes
        let handle = piece.isDirect ? record.direct ?? record.handle : record.handle
        // Pipes and sockets have no positions, even if the client names one.
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

    /// Whether a send is large enough that the notification costs less than copying.
    private func sendsZeroCopy(_ piece: TransferPiece, _ record: FileRecord) -> Bool {
        record.sendsZeroCopy && piece.count >= UInt64(state.configuration.zeroCopyThreshold)
            && state.carrier.operations[Int(Opcode.sendZeroCopy)]
    }

    /// A list becomes a message: a plain vector could not suppress the signal of a broken connection.
    private func makeMessage(_ request: inout cdma_uring_sqe, _ slot: Int, _ piece: TransferPiece, _ record: FileRecord) {
        // SAFETY: the header stays in the slot's own memory until the transaction has ended, and a slot has one message at a
        // time.
        let writes = unsafe transaction(slot).pointee.writes
        let message = unsafe transaction(slot).pointee.message ?? UnsafeMutablePointer<cdma_message>.allocate(capacity: 1)
        unsafe transaction(slot).pointee.message = unsafe message
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

    /// The list from a position on, as the kernel's iovec: the client's own where all of it is used, otherwise a copy.
    @unsafe
    private mutating func list(
        _ slot: Int, from index: Int, skip: UInt64, count bytes: UInt64
    ) -> (UnsafePointer<Segment>?, Int) {
        // SAFETY: the index is below the number of segments, and as many follow as `count` says. The copy has room for the
        // maximum number of segments, stays with the slot, and is written only while no request is in progress.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        // IOV_MAX: the kernel refuses more.
        let count = min(descriptor.segments - index, 1024)
        guard let operands = unsafe descriptor.operands else { return (nil, 0) }
        // A list of one side only: the segments of that side come first.
        let isWhole = bytes == descriptor.count - (unsafe transaction(slot).pointee.done)
        if skip == 0, isWhole { return unsafe (operands + index, count) }
        let room = max(state.capabilities.maximumSegments, count)
        let scratch = unsafe transaction(slot).pointee.scratch ?? UnsafeMutablePointer<Segment>.allocate(capacity: room)
        unsafe transaction(slot).pointee.scratch = unsafe scratch
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

    // MARK: Direct transfers

    /// The next request, from byte `offset` on.
    private mutating func piece(_ slot: Int, at offset: UInt64, _ record: FileRecord) -> TransferPiece {
        // SAFETY: callers pass numbers of slots in use.
        let detail = unsafe transaction(slot).pointee
        let rest = detail.descriptor.count - offset
        guard record.direct != nil, !detail.avoidsDirect, let start = detail.descriptor.place.position else {
            return TransferPiece(offset: offset, count: rest, isDirect: false)
        }
        let mask = detail.writes ? record.writeMask : record.readMask
        let position = start + offset
        if position & mask != 0 {
            return TransferPiece(offset: offset, count: min(rest, mask + 1 - (position & mask)), isDirect: false)
        }
        let middle = min(rest, requestLimit) & ~mask
        guard middle > 0 else { return TransferPiece(offset: offset, count: rest, isDirect: false) }
        guard detail.descriptor.isAligned(record.memoryMask, from: offset, count: middle) else {
            // A part of the memory is misaligned for the device; the page cache handles it.
            unsafe self.transaction(slot).pointee.avoidsDirect = true
            state.statistics.misalignedTransactions += 1
            return TransferPiece(offset: offset, count: rest, isDirect: false)
        }
        return TransferPiece(offset: offset, count: middle, isDirect: true)
    }

    /// The kind of a write at its file's gate.
    mutating func gateKind(_ slot: Int, _ record: FileRecord) -> WriteGate.Kind {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        guard record.direct != nil, descriptor.place.position != nil else { return .buffered }
        let first = piece(slot, at: 0, record)
        if first.isDirect { return first.count == descriptor.count ? .direct : .mixed }
        if first.count == descriptor.count { return .buffered }
        // A head; whether anything after it is direct depends on the memory.
        let rest = piece(slot, at: first.count, record)
        return rest.isDirect ? .mixed : .buffered
    }

    /// Head, middle and tail of a contiguous transfer are submitted at once, linked so that they run one after the other. False
    /// where there is only one part, or the transfer does not qualify.
    private mutating func startChain(_ slot: Int, _ record: FileRecord) -> Bool {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        guard descriptor.segments == 1, descriptor.count <= requestLimit else { return false }
        var pieces: [TransferPiece] = []
        var offset: UInt64 = 0
        while offset < descriptor.count, pieces.count < 3 {
            let piece = piece(slot, at: offset, record)
            pieces.append(piece)
            offset += piece.count
        }
        guard pieces.count > 1, offset == descriptor.count, hasRoom(for: pieces.count) else { return false }
        apply(.requested(.chain(RequestChain(pieces))), to: slot)
        for (index, piece) in pieces.enumerated() {
            var request = transfer(slot, piece, record, part: index)
            if index + 1 < pieces.count { request.flags |= EntryFlags.link }
            push(request, of: slot)
        }
        return true
    }

    // MARK: Ends of requests

    /// Handles the result of a transfer's request.
    mutating func transferRequestEnded(_ slot: Int, _ result: KernelResult) {
        // SAFETY: as above.
        if record(of: slot)?.namespace != nil { return passthroughRequestEnded(slot, result) }
        guard result.rawValue > 0 else { return nothingMoved(slot, result) }
        let count = unsafe transaction(slot).pointee.descriptor.count
        let moved = min(UInt64(result.rawValue), count - (unsafe transaction(slot).pointee.done))
        countBytes(slot, moved)
        unsafe transaction(slot).pointee.done += moved
        unsafe transaction(slot).pointee.retries = 0
        let isWhole = unsafe transaction(slot).pointee.done == count
        if isWhole { return finish(slot, .complete) }
        if let record = record(of: slot), record.file.endsShort, record.isStream, unsafe !transaction(slot).pointee.writes {
            return finish(slot, .complete)
        }
        state.statistics.continuations += 1
        proceed(slot)
    }

    private func countBytes(_ slot: Int, _ moved: UInt64) {
        // SAFETY: as above.
        guard record(of: slot)?.direct != nil else { return }
        let direct: UInt64 =
            switch unsafe transaction(slot).pointee.state {
            case .running(.chain(let chain)): chain.directBytes(of: moved)
            case .running(.single(isDirect: true)): moved
            default: 0
            }
        state.statistics.directBytes += direct
        state.statistics.bufferedBytes += moved - direct
    }

    /// Handles a request that moved nothing.
    private mutating func nothingMoved(_ slot: Int, _ result: KernelResult) {
        // SAFETY: as above.
        let writes = unsafe transaction(slot).pointee.writes
        guard let errno = result.errno else {
            let isEmpty = unsafe transaction(slot).pointee.descriptor.count == 0
            // The end of the file, or of the stream. A write that moves nothing must not repeat for ever.
            return !writes || isEmpty ? finish(slot, .complete) : finish(slot, .writeFailed, .ioError)
        }
        let kind = record(of: slot)?.kind
        switch errno {
        case .notSupportedOnSocket where writes && state.hasNoSignal && kind == .pipe:
            state.hasNoSignal = false
            proceed(slot)
        case .notSupportedOnSocket where writes && record(of: slot)?.sendsZeroCopy ?? false && kind == .socket:
            // A kind of socket without zero-copy sends.
            let number = unsafe transaction(slot).pointee.file
            state.table.records[number]?.sendsZeroCopy = false
            state.statistics.zeroCopyRefusals += 1
            proceed(slot)
        case .invalidArgument where wasDirect(slot), .notSupportedOnSocket where wasDirect(slot):
            // A device that requires more than it reports, or a file system that accepts O_DIRECT only when opening.
            unsafe transaction(slot).pointee.avoidsDirect = true
            state.statistics.directRefusals += 1
            proceed(slot)
        default:
            if !retries(slot, after: errno) { fail(slot, errno) }
        }
    }

    /// Whether the finished requests, or one of them, were direct.
    private func wasDirect(_ slot: Int) -> Bool {
        // SAFETY: as above.
        switch unsafe transaction(slot).pointee.state {
        case .running(.single(isDirect: true)), .running(.chain): true
        default: false
        }
    }

    /// Whether a refusal is temporary, and the transaction continues after it. Bounded.
    mutating func retries(_ slot: Int, after errno: Errno) -> Bool {
        // SAFETY: as above.
        guard errno == .resourceTemporarilyUnavailable || errno == .interrupted || errno == .canceled else { return false }
        if errno == .canceled, unsafe transaction(slot).pointee.isCancelled {
            finish(slot, .aborted)
            return true
        }
        unsafe transaction(slot).pointee.retries += 1
        guard unsafe transaction(slot).pointee.retries <= 1000 else { return false }
        state.statistics.retries += 1
        if errno == .resourceTemporarilyUnavailable, let record = record(of: slot), record.isStream {
            // The descriptor is non-blocking: poll for it here.
            var poll = entry(Opcode.pollAdd, record.handle, slot: slot)
            // POLLOUT, POLLIN
            poll.operation_flags = unsafe transaction(slot).pointee.writes ? 4 : 1
            push(poll, of: slot, .poll)
            submitIssued()
        } else {
            proceed(slot)
        }
        return true
    }

    /// Makes the next request of a running transaction; during a pause, at its end.
    mutating func proceed(_ slot: Int) {
        // SAFETY: as above.
        if unsafe transaction(slot).pointee.isCancelled { return finish(slot, .aborted) }
        if detours.contains(.paused) { return hold(slot) }
        switch unsafe transaction(slot).pointee.descriptor.kind {
        case .command: startCommand(slot)
        case .peripheral: requestNext(slot)
        default: start(slot)
        }
        submitIssued()
    }
}
