// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

// Commands to a file, and from one file to another.

extension IOUringEngine {
    /// Makes the request of a command, or the next one of several.
    mutating func startCommand(_ slot: Int) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        guard let record = record(of: slot), let command = descriptor.command else {
            finish(slot, .failed, value: 9)
            return
        }
        if let namespace = record.namespace {
            guard command == .flush || command == .flushData else { return finish(slot, .writeFailed, value: 95) }
            return push(namespace.flush, of: slot, record)
        }
        switch command {
        case .flush where record.kind == .pipe || record.kind == .socket,
            .flushData where record.kind == .pipe || record.kind == .socket:
            // There is no medium: what was written is where it goes.
            push(entry(Opcode.nop, FileHandle(descriptor: -1, flags: 0), slot: slot), of: slot)
        case .flush, .flushData:
            var request = entry(Opcode.fsync, record.handle, slot: slot)
            // IORING_FSYNC_DATASYNC
            request.operation_flags = command == .flushData ? 1 : 0
            push(request, of: slot)
        case .allocate, .zero, .discard:
            let steps = ways(command, record)
            let start = descriptor.place.position ?? 0
            var request = entry(Opcode.fallocate, record.handle, slot: slot)
            switch steps[unsafe min(detail(slot).pointee.step, steps.count - 1)] {
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
            push(request, of: slot)
        case .move, .duplicate:
            startBetween(slot, from: record, duplicates: command == .duplicate)
        }
    }

    /// A way to do what a command asks.
    private enum Way {
        /// fallocate(2) with a mode.
        case fallocate(UInt32)
        /// A block device's own discard, by BLOCK_URING_CMD_DISCARD (Linux 6.12) or, on threads, BLKDISCARD.
        case discard
    }

    /// The ways of a command: each is tried where the one before is not supported.
    private func ways(_ command: PeripheralCommand, _ record: FileRecord) -> [Way] {
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

    /// splice(2) wants a pipe on one side, tee(2) on both.
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
        let descriptor = unsafe detail(slot).pointee.descriptor
        let second = unsafe detail(slot).pointee.second
        let done = unsafe detail(slot).pointee.done
        guard second >= 0, let target = state.table.records[second] else { return finish(slot, .failed, value: 9) }
        var request = entry(duplicates ? Opcode.tee : Opcode.splice, target.handle, slot: slot)
        request.length = UInt32(min(descriptor.count - done, requestLimit))
        request.file_index = source.handle.descriptor
        // SPLICE_F_FD_IN_FIXED
        if source.handle.flags & EntryFlags.fixedFile != 0 { request.operation_flags = 1 << 31 }
        if !duplicates {
            request.address = offset(descriptor.place.position, done, source)
            request.offset = offset(descriptor.secondPlace.position, done, target)
        }
        push(request, of: slot)
    }

    private func offset(_ position: UInt64?, _ done: UInt64, _ record: FileRecord) -> UInt64 {
        guard record.kind != .pipe, record.kind != .socket, let position else { return .max }
        return position + done
    }

    /// What a command's request came to.
    mutating func settleCommand(_ slot: Int, _ result: Int32) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        let command = descriptor.command ?? .flush
        let isTransfer = command == .move || command == .duplicate
        if result < 0 {
            let isUnknown = result == -95 || result == -22 || result == -25
            if !isTransfer, isUnknown, let record = record(of: slot),
                unsafe detail(slot).pointee.step + 1 < ways(command, record).count
            {
                unsafe detail(slot).pointee.step += 1
                return goOn(slot)
            }
            if retries(slot, after: result) { return }
            return finish(slot, isTransfer ? .failed : .writeFailed, value: UInt64(-Int64(result)))
        }
        guard isTransfer else {
            unsafe detail(slot).pointee.done = descriptor.count
            return finish(slot, .complete)
        }
        unsafe detail(slot).pointee.done += min(UInt64(result), descriptor.count - (unsafe detail(slot).pointee.done))
        let isWhole = unsafe detail(slot).pointee.done == descriptor.count
        // What tee(2) duplicated stays in the pipe: a second call would begin again with the same bytes.
        if isWhole || result == 0 || command == .duplicate { return finish(slot, .complete) }
        state.statistics.continuations += 1
        goOn(slot)
    }
}
