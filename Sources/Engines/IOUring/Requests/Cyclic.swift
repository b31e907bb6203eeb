// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import SystemPackage

// Streams round a ring of periods (rule 22): capture from a socket, a pipe or a device, playback to one.

/// A running cyclic transaction.
struct CyclicRun {
    /// Bytes moved since the start.
    var moved: UInt64 = 0
    /// Set where the kernel fills the periods on its own: one request for all.
    var buffers: BufferRing?
}

extension IOUringEngine {
    /// Starts a ring, or continues it.
    mutating func startCyclic(_ slot: Int) {
        // SAFETY: callers pass numbers of slots in use.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let period = descriptor.value
        guard let record = record(of: slot) else { return finish(slot, .failed, .badFileDescriptor) }
        guard period > 0, period <= requestLimit, descriptor.count % period == 0 else {
            return finish(slot, .failed, .invalidArgument)
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
        requestNextPeriod(slot, record)
    }

    /// The next request of a ring: one that fills period after period, or the rest of one period.
    private mutating func requestNextPeriod(_ slot: Int, _ record: FileRecord) {
        // SAFETY: as above; each request lies in the ring's memory, which the transaction owns until it is terminated and the
        // kernel has released it.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let run = state.rings[slot] ?? CyclicRun()
        let writes = descriptor.cyclicWrites
        if let buffers = run.buffers {
            var request = entry(Opcode.receive, record.handle, slot: slot)
            // IORING_RECV_MULTISHOT
            request.ioprio = 2
            request.flags |= EntryFlags.bufferSelect
            request.buffer = buffers.group
            state.statistics.multishotReceives += 1
            push(request, of: slot, .single(isDirect: false))
            return
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
        push(request, of: slot, .single(isDirect: false))
    }

    /// Handles the result of a ring's request; `more` where the kernel continues on its own.
    mutating func cyclicRequestEnded(_ slot: Int, _ result: KernelResult, flags: UInt32, more: Bool) {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let writes = descriptor.cyclicWrites
        guard var run = state.rings[slot] else { return finish(slot, .failed, .ioError) }
        if case .running(.stopping(let errno)) = unsafe transaction(slot).pointee.state {
            if !more { fail(slot, Errno(rawValue: errno)) }
            return
        }
        if result == .success { return more ? () : finish(slot, .complete) }
        if let errno = result.errno {
            // The kernel was faster than periods were returned; they are returned now.
            if errno == .noBufferSpace, run.buffers != nil { return more ? () : proceed(slot) }
            if errno == .notSupportedOnSocket, writes, state.hasNoSignal {
                state.hasNoSignal = false
                return proceed(slot)
            }
            if errno == .invalidArgument || errno == .notSupportedOnSocket, run.buffers != nil, run.moved == 0 {
                // The kernel supports buffer rings but not the request.
                run.buffers = nil
                state.rings[slot] = run
                return proceed(slot)
            }
            if more || retries(slot, after: errno) { return }
            return fail(slot, errno)
        }
        let period = descriptor.value
        let before = run.moved / period
        let room = period - run.moved % period
        // A request never moves more than the rest of a period.
        let moved = min(UInt64(result.rawValue), room)
        if let buffers = run.buffers {
            let number = UInt64(flags >> 16)
            guard flags & CompletionFlags.buffer != 0, number == before % (descriptor.count / period),
                UInt64(result.rawValue) <= room
            else {
                // The kernel wrote to another place than the stream's next.
                guard more else { return fail(slot, .protocolError) }
                // It ends when the kernel has released the periods.
                apply(.failing(errno: Errno.protocolError.rawValue), to: slot)
                return cancelRequest(unsafe request(slot).pointee.stamp | 1, slot)
            }
            if moved == room {
                // The ring continues whether or not the client has seen the period: that is the meaning of cyclic.
                buffers.add(descriptor.destination + number * period, count: UInt32(period), number: UInt16(number))
            }
        }
        run.moved += moved
        state.rings[slot] = run
        unsafe transaction(slot).pointee.done = run.moved % descriptor.count
        unsafe transaction(slot).pointee.retries = 0
        let now = run.moved / period
        if now > before {
            if descriptor.flags.contains(.interrupt) { state.line.raise() }
            let tag = unsafe request(slot).pointee.tag
            state.reports.append(Completion(tag: tag, isPeriod: true, value: now))
            detours.insert(.reports)
        }
        if !more { proceed(slot) }
    }
}

extension Descriptor {
    /// Whether a ring is played: its memory is the source.
    var cyclicWrites: Bool { destination == 0 }
}
