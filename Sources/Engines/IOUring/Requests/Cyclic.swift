// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

// Streams round a ring of periods (rule 22): capture from a socket, a pipe or a device, playback to one.

/// A cyclic transaction that runs.
struct CyclicRun {
    /// Bytes moved since the start.
    var moved: UInt64 = 0
    /// The kernel fills the periods by itself: one request for all.
    var buffers: BufferRing?
}

extension IOUringEngine {
    /// Starts a ring, or goes on with it.
    mutating func startCyclic(_ slot: Int) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        let period = descriptor.value
        guard let record = record(of: slot) else { return finish(slot, .failed, value: 9) }
        guard period > 0, period <= requestLimit, descriptor.count % period == 0 else {
            return finish(slot, .failed, value: 22)
        }
        if state.rings[slot] == nil {
            var run = CyclicRun()
            let periods = descriptor.count / period
            if record.kind == .socket, !descriptor.cyclicWrites, state.carrier.operations[Int(Opcode.receive)],
                periods <= 1 << 14,
                let ring = BufferRing(state.carrier, group: UInt16(truncatingIfNeeded: slot), periods: Int(periods))
            {
                for index in 0..<periods {
                    ring.add(descriptor.destination + index * period, count: UInt32(period), number: UInt16(index))
                }
                run.buffers = ring
            }
            state.rings[slot] = run
        }
        turn(slot, record)
    }

    /// The next request of a ring: one that fills period after period, or the rest of one period.
    private mutating func turn(_ slot: Int, _ record: FileRecord) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        let run = state.rings[slot] ?? CyclicRun()
        let writes = descriptor.cyclicWrites
        if let buffers = run.buffers {
            var request = entry(Opcode.receive, record.handle, slot: slot)
            // IORING_RECV_MULTISHOT
            request.ioprio = 2
            request.flags |= EntryFlags.bufferSelect
            request.buffer = buffers.group
            state.statistics.multishotReceives += 1
            return push(request, of: slot)
        }
        let place = run.moved % descriptor.count
        var request = entry(writes ? Opcode.write : Opcode.read, record.handle, slot: slot)
        request.address = (writes ? descriptor.source : descriptor.destination) + place
        request.length = UInt32(descriptor.value - run.moved % descriptor.value)
        request.offset = .max
        if record.kind == .socket {
            request.opcode = writes ? Opcode.send : Opcode.receive
            // MSG_NOSIGNAL
            request.operation_flags = writes ? 0x4000 : 0
            request.offset = 0
        } else if writes, record.kind == .pipe, state.hasNoSignal {
            request.operation_flags = 0x100
        }
        if state.threads != nil { request.personality = record.isStream ? ThreadOperation.mayWait : 0 }
        push(request, of: slot)
    }

    /// What a request of a ring came to; `more` where the kernel goes on by itself.
    mutating func settleCyclic(_ slot: Int, _ result: Int32, flags: UInt32, more: Bool) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        let writes = descriptor.cyclicWrites
        guard var run = state.rings[slot] else { return finish(slot, .failed, value: 5) }
        if unsafe detail(slot).pointee.step != 0 {
            if !more { finish(slot, .readFailed, value: UInt64(unsafe detail(slot).pointee.step)) }
            return
        }
        // ENOBUFS: the kernel was faster than we gave periods back; they are back now.
        if result <= 0, run.buffers != nil, result == -105 {
            state.rings[slot] = run
            return more ? () : goOn(slot)
        }
        if result == 0 { return more ? () : finish(slot, .complete) }
        if result < 0 {
            if result == -95, writes, state.hasNoSignal {
                state.hasNoSignal = false
                return goOn(slot)
            }
            if result == -22 || result == -95, run.buffers != nil, run.moved == 0 {
                // The kernel has the rings and not the request.
                run.buffers = nil
                state.rings[slot] = run
                return goOn(slot)
            }
            if more || retries(slot, after: result) { return }
            return finish(slot, writes ? .writeFailed : .readFailed, value: UInt64(-Int64(result)))
        }
        let period = descriptor.value
        let before = run.moved / period
        let room = period - run.moved % period
        // A request never moves more than the rest of a period.
        let moved = min(UInt64(result), room)
        if let buffers = run.buffers {
            let number = UInt64(flags >> 16)
            guard flags & CompletionFlags.buffer != 0, number == before % (descriptor.count / period), UInt64(result) <= room
            else {
                // The kernel wrote elsewhere than in the stream's next place: EPROTO.
                unsafe detail(slot).pointee.step = 71
                guard more else { return finish(slot, .readFailed, value: 71) }
                return cancelRequest(unsafe request(slot).pointee.stamp | 1, slot)
            }
            if moved == room {
                // The ring runs on whether or not the client has seen the period: that is what cyclic means.
                buffers.add(descriptor.destination + number * period, count: UInt32(period), number: UInt16(number))
            }
        }
        run.moved += moved
        state.rings[slot] = run
        unsafe detail(slot).pointee.done = run.moved % descriptor.count
        unsafe detail(slot).pointee.retries = 0
        let now = run.moved / period
        if now > before {
            if descriptor.flags.contains(.interrupt) { state.line.raise() }
            let tag = unsafe request(slot).pointee.tag
            state.reports.append(Completion(tag: tag, isPeriod: true, value: now))
            detours.insert(.reports)
        }
        if !more { goOn(slot) }
    }
}

extension Descriptor {
    /// Whether a ring is played: its memory is the source.
    var cyclicWrites: Bool { destination == 0 }
}
