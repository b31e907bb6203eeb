// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit
internal import SystemPackage

// Commands to a file, and from one file to another.

extension IOUringEngine {
    /// Makes the request of a command, or the next one of several.
    mutating func startCommand(_ slot: Int) {
        // SAFETY: callers pass numbers of slots in use.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        guard let record = record(of: slot), let command = descriptor.command else {
            return fail(slot, .badFileDescriptor)
        }
        if let namespace = record.namespace {
            guard command == .flush || command == .flushData else { return finish(slot, .writeFailed, .notSupportedOnSocket) }
            return push(namespace.flush, of: slot, record, moving: 0)
        }
        switch command {
        case .flush where record.kind == .pipe || record.kind == .socket,
            .flushData where record.kind == .pipe || record.kind == .socket:
            // A flush of a stream: there is no medium, and written data has arrived.
            push(entry(Opcode.nop, .none, slot: slot), of: slot, .single(isDirect: false))
        case .flush, .flushData:
            var request = entry(Opcode.fsync, record.handle, slot: slot)
            // IORING_FSYNC_DATASYNC
            request.operation_flags = command == .flushData ? 1 : 0
            push(request, of: slot, .single(isDirect: false))
        case .allocate, .zero, .discard:
            let methods = methods(command, record)
            let start = descriptor.place.position ?? 0
            var request = entry(Opcode.fallocate, record.handle, slot: slot)
            switch methods[unsafe min(transaction(slot).pointee.method, methods.count - 1)] {
            case .fallocate(let mode):
                request.offset = start
                request.address = descriptor.count
                request.length = mode
            case .discard:
                request.opcode = Opcode.command
                request.offset = UInt64(cdma_uring_discard_operation())
                request.address = start
                request.address3 = descriptor.count
            }
            push(request, of: slot, .single(isDirect: false))
        case .move, .duplicate:
            startBetween(slot, from: record, duplicates: command == .duplicate)
        }
    }

    /// A method for a command.
    private enum Method {
        /// fallocate(2) with a mode.
        case fallocate(UInt32)
        /// A block device's own discard, by BLOCK_URING_CMD_DISCARD (Linux 6.12) or, on threads, BLKDISCARD.
        case discard
    }

    /// The methods for a command: each is tried where the previous one is not supported.
    private func methods(_ command: PeripheralCommand, _ record: FileRecord) -> [Method] {
        switch command {
        // FALLOC_FL_ZERO_RANGE; or a hole, which reads as zeroes.
        case .zero: [.fallocate(0x10), .fallocate(0x03)]
        // FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE.
        case .discard where record.kind == .block && state.carrier.operations[Int(Opcode.command)]:
            [.discard, .fallocate(0x03)]
        case .discard: [.fallocate(0x03)]
        default: [.fallocate(0)]
        }
    }

    /// splice(2) requires a pipe on one side, tee(2) on both.
    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) {
        guard descriptor.command == .move || descriptor.command == .duplicate else { return }
        let (source, target) = (try number(of: descriptor.place), try number(of: descriptor.secondPlace))
        let pipes = [source, target].count { state.table.records[Int($0)]?.kind == .pipe }
        guard pipes >= (descriptor.command == .duplicate ? 2 : 1) else {
            throw DMAError(.needsPipe, asked: source, limit: target)
        }
    }

    private func number(of place: PeripheralPlace) throws(DMAError) -> UInt64 {
        let number = place.number.map(UInt64.init) ?? chosen
        guard number < fileLimit, state.table.records[Int(number)] != nil else {
            throw DMAError(.noSuchPeripheral, asked: number)
        }
        return number
    }

    private mutating func startBetween(_ slot: Int, from source: FileRecord, duplicates: Bool) {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let second = unsafe transaction(slot).pointee.second
        let done = unsafe transaction(slot).pointee.done
        guard second >= 0, let target = state.table.records[second] else { return fail(slot, .badFileDescriptor) }
        var request = entry(duplicates ? Opcode.tee : Opcode.splice, target.handle, slot: slot)
        request.length = UInt32(min(descriptor.count - done, requestLimit))
        request.file_index = source.handle.number
        // SPLICE_F_FD_IN_FIXED
        if source.handle.flags & EntryFlags.fixedFile != 0 { request.operation_flags = 1 << 31 }
        if !duplicates {
            request.address = offset(descriptor.place.position, done, source)
            request.offset = offset(descriptor.secondPlace.position, done, target)
        }
        push(request, of: slot, .single(isDirect: false))
    }

    private func offset(_ position: UInt64?, _ done: UInt64, _ record: FileRecord) -> UInt64 {
        guard record.kind != .pipe, record.kind != .socket, let position else { return .max }
        return position + done
    }

    /// Handles the result of a command's request.
    mutating func commandRequestEnded(_ slot: Int, _ result: KernelResult) {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let command = descriptor.command ?? .flush
        let isTransfer = command == .move || command == .duplicate
        if let errno = result.errno {
            let unknown: [Errno] = [.notSupportedOnSocket, .invalidArgument, .inappropriateIOCTLForDevice]
            if !isTransfer, unknown.contains(errno), let record = record(of: slot),
                unsafe transaction(slot).pointee.method + 1 < methods(command, record).count
            {
                unsafe transaction(slot).pointee.method += 1
                return proceed(slot)
            }
            if retries(slot, after: errno) { return }
            return finish(slot, isTransfer ? .failed : .writeFailed, errno)
        }
        guard isTransfer else {
            unsafe transaction(slot).pointee.done = descriptor.count
            return finish(slot, .complete)
        }
        unsafe transaction(slot).pointee.done += min(
            UInt64(result.rawValue), descriptor.count - (unsafe transaction(slot).pointee.done))
        let isWhole = unsafe transaction(slot).pointee.done == descriptor.count
        // The bytes that tee(2) duplicated stay in the pipe: a second call would start with the same bytes.
        if isWhole || result == .success || command == .duplicate { return finish(slot, .complete) }
        state.statistics.continuations += 1
        proceed(slot)
    }
}
