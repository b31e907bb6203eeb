// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
public import DMAEngineKit

// From what is queued to what the kernel has.

extension IOUringEngine {
    // The memory is this value's own, from its beginning to its end.
    var state: ColdState {
        _read { yield unsafe cold.pointee }
        nonmutating _modify { yield unsafe &cold.pointee }
    }
    func detail(_ slot: Int) -> UnsafeMutablePointer<Detail> { unsafe state.details + slot }
    func request(_ slot: Int) -> UnsafeMutablePointer<Request> { unsafe requests + slot }

    /// `enqueue`, for whatever is not one plain request.
    @usableFromInline @inline(never)
    mutating func enqueueParticular(_ descriptor: Descriptor, tag: UInt32) -> Bool {
        guard freeCount > 0 else { return false }
        freeCount -= 1
        let slot = unsafe Int(free[freeCount])
        let number = descriptor.place.number.map(UInt64.init) ?? chosen
        let names = descriptor.kind != .null && number < fileLimit
        unsafe request(slot).pointee.tag = tag
        unsafe request(slot).pointee.count = descriptor.count
        unsafe request(slot).pointee.state = .particular
        unsafe detail(slot).pointee.begin(descriptor, file: names ? Int(number) : -1)
        if names { unsafe files[Int(number)].inFlight &+= 1 }
        if descriptor.command == .move || descriptor.command == .duplicate {
            let second = descriptor.secondPlace.number.map(UInt64.init) ?? chosen
            if second < fileLimit {
                unsafe detail(slot).pointee.second = Int(second)
                unsafe files[Int(second)].inFlight &+= 1
            }
        }
        if descriptor.flags.contains(.interrupt) { watch() }
        state.unissued.append(slot)
        state.statistics.particularTransactions += 1
        detours.insert(.unissued)
        return true
    }

    /// Sees to it that a task which waits for an interrupt is woken.
    private func watch() {
        guard state.watcher == nil, let watcher = Watcher(view, state.line) else { return }
        if state.carrier.signal(watcher.event) { state.watcher = watcher } else { watcher.stop() }
    }

    /// `issuePending`, where there is more to do than to move an index.
    @usableFromInline @inline(never)
    mutating func issueParticular() {
        if detours.isDisjoint(with: [.paused, .terminating]), tail != issued {
            issued = tail
            unsafe cdma_store_release32(view.submissionTail, tail)
        }
        if detours.contains(.paused) { state.granted = tail &- issued }
        // Terminated work is dropped by `quiesce`; what is queued during a pause starts at its end.
        guard !detours.contains(.terminating) else { return }
        detours.remove(.unissued)
        for index in 0..<state.unissued.count { start(state.unissued[index]) }
        state.unissued.removeAll(keepingCapacity: true)
        submitIssued()
    }

    /// Tells the carrier what was issued.
    @usableFromInline @inline(never)
    mutating func submitIssued() {
        guard !detours.contains(.paused) else { return }
        let waiting = issued &- (unsafe cdma_load_acquire32(view.submissionHead))
        guard waiting > 0 else { return }
        let result: Int32
        switch door.kind {
        case .kernel:
            result = cdma_uring_enter(door.descriptor, waiting, 0, door.flags, nil, 0)
        case .thread:
            return wakeThread(waiting)
        case .carrier:
            result = submitByCarrier(waiting)
        }
        if result < 0 || UInt32(result) < waiting { delay(result) } else { detours.remove(.unsubmitted) }
    }

    /// Wakes the kernel's thread where it sleeps.
    @inline(never)
    private mutating func wakeThread(_ count: UInt32) {
        // It says that it sleeps before it looks at the ring for the last time.
        cdma_full_barrier()
        guard unsafe cdma_load_acquire32(view.submissionFlags) & SubmissionFlags.needWakeUp != 0 else { return }
        _ = cdma_uring_enter(door.descriptor, count, 0, door.flags | EnterFlags.wakeUp, nil, 0)
    }

    /// Threads, and a ring that has yet to be enabled.
    @inline(never)
    private mutating func submitByCarrier(_ count: UInt32) -> Int32 {
        let result = state.carrier.submit(count)
        door = state.carrier.door
        return result
    }

    /// The kernel did not take everything: EAGAIN, EBUSY and EINTR pass, so `next` and `wait` try again.
    @inline(never)
    mutating func delay(_ result: Int32) {
        // EEXIST: the ring belongs to another thread. A registered descriptor is that thread's too, and here it is EINVAL or
        // EBADF.
        let isRegistered = door.flags & EnterFlags.registeredRing != 0
        if result == -17 || isRegistered && (result == -22 || result == -9) { return refuseIssued() }
        detours.insert(.unsubmitted)
        state.statistics.delayedSubmissions += 1
        if result < 0 { state.lastRefusal = result }
    }

    /// Puts one request among those issued, before all that is queued and not issued. Its submission follows.
    mutating func push(_ entry: cdma_uring_sqe) {
        let room = view.submissionMask &+ 1
        if unsafe tail &- cdma_load_acquire32(view.submissionHead) >= room { submitIssued() }
        // What waits for `issuePending` moves up by one.
        var index = tail
        while index != issued {
            let size = 1 << Int(view.submissionShift)
            unsafe UnsafeMutableRawPointer(view.submission(index)).copyMemory(
                from: view.submission(index &- 1), byteCount: size)
            index &-= 1
        }
        unsafe view.submission(issued).pointee = entry
        tail &+= 1
        issued &+= 1
        unsafe cdma_store_release32(view.submissionTail, issued)
    }

    /// A request of transaction `slot`, of which this is part `part`.
    func entry(_ opcode: UInt8, _ handle: FileHandle, slot: Int, part: UInt64 = 0) -> cdma_uring_sqe {
        var entry = cdma_uring_sqe()
        entry.opcode = opcode
        entry.flags = handle.flags
        entry.fd = handle.descriptor
        let stamp = unsafe request(slot).pointee.stamp
        entry.user_data = (stamp | (part & 0x7fff) + 1) << 16 | UInt64(slot)
        return entry
    }

    /// Pushes a request of a particular transaction.
    mutating func push(_ entry: cdma_uring_sqe, of slot: Int) {
        unsafe detail(slot).pointee.outstanding += 1
        unsafe detail(slot).pointee.phase = .running
        push(entry)
    }

    // MARK: Starting

    /// Begins, or goes on with, an issued transaction.
    mutating func start(_ slot: Int) {
        if detours.contains(.paused) {
            unsafe detail(slot).pointee.phase = .held
            state.held.append(slot)
            return
        }
        let descriptor = unsafe detail(slot).pointee.descriptor
        switch descriptor.kind {
        case .null:
            push(entry(Opcode.nop, FileHandle(descriptor: -1, flags: 0), slot: slot), of: slot)
        case .peripheral:
            startTransfer(slot)
        case .command:
            startCommand(slot)
        case .cyclic:
            startCyclic(slot)
        default:
            finish(slot, .failed, value: 22)
        }
    }

    /// What a file that was never attached, or is not any more, answers.
    func record(of slot: Int) -> FileRecord? {
        let number = unsafe detail(slot).pointee.file
        return number >= 0 && number < state.table.records.count ? state.table.records[number] : nil
    }

    private mutating func startTransfer(_ slot: Int) {
        let descriptor = unsafe detail(slot).pointee.descriptor
        guard let record = record(of: slot) else {
            finish(slot, descriptor.sourceCount > 0 ? .writeFailed : .readFailed, value: 9)
            return
        }
        let isOrdered = record.isStream || descriptor.place.position == nil
        if isOrdered, unsafe !detail(slot).pointee.hasTurn {
            guard takeTurn(slot, writes: descriptor.sourceCount > 0) else { return }
        }
        if descriptor.writes, record.direct != nil, unsafe detail(slot).pointee.gate == nil {
            guard passGate(slot, record) else { return }
        }
        moveOn(slot)
    }

    // MARK: The gate between direct and buffered writes

    /// Enters a write at its file's gate; false where it waits there.
    private mutating func passGate(_ slot: Int, _ record: FileRecord) -> Bool {
        let number = unsafe detail(slot).pointee.file
        let kind = gateKind(slot, record)
        if !record.gate.isClosed {
            // Plain direct writes that are under way were not counted.
            var running = 0
            for other in 0...Int(slotMask) where unsafe request(other).pointee.state == .write {
                if unsafe Int(request(other).pointee.file) == number { running += 1 }
            }
            if kind == .direct {
                // Nothing goes through the cache: no reason to close.
                unsafe detail(slot).pointee.gate = .direct
                state.table.records[number]?.openDirect += 1
                return true
            }
            state.table.records[number]?.gate.close(running: running + record.openDirect)
            unsafe files[number].writeMask = .max
            detours.insert(.gated)
        }
        guard state.table.records[number]?.gate.enter(slot, kind) == true else {
            unsafe detail(slot).pointee.phase = .waiting
            return false
        }
        unsafe detail(slot).pointee.gate = kind
        if kind == .direct { state.table.records[number]?.openDirect += 1 }
        return true
    }

    /// A write of kind `kind` is over: those that waited for it start.
    mutating func endGate(_ number: Int, _ kind: WriteGate.Kind) {
        guard let isClosed = state.table.records[number]?.gate.isClosed else { return }
        if kind == .direct { state.table.records[number]?.openDirect -= 1 }
        guard isClosed else { return }
        state.table.records[number]?.gate.leave(kind)
        admitWaiting(number)
    }

    private mutating func admitWaiting(_ number: Int) {
        guard var record = state.table.records[number] else { return }
        while detours.isDisjoint(with: .terminating) {
            var kinds: [Int: WriteGate.Kind] = [:]
            if let first = record.gate.waiting.first { kinds[first] = gateKind(first, record) }
            guard let next = record.gate.admit({ kinds[$0] ?? .mixed }) else { break }
            let kind = kinds[next] ?? .mixed
            unsafe detail(next).pointee.gate = kind
            if kind == .direct { record.openDirect += 1 }
            state.table.records[number] = record
            goOn(next)
            guard let now = state.table.records[number] else { return }
            record = now
        }
        if record.gate.isIdle {
            record.gate.open()
            unsafe files[number].writeMask = record.entryWriteMask
        }
        state.table.records[number] = record
        if !state.table.records.contains(where: { $0?.gate.isClosed ?? false }) { detours.remove(.gated) }
    }

    /// Enters a transaction in its stream's queue; true where it is the first.
    private mutating func takeTurn(_ slot: Int, writes: Bool) -> Bool {
        let number = unsafe detail(slot).pointee.file
        unsafe detail(slot).pointee.hasTurn = true
        if writes {
            state.table.records[number]?.writers.append(slot)
            if state.table.records[number]?.writers.first == slot { return true }
        } else {
            state.table.records[number]?.readers.append(slot)
            if state.table.records[number]?.readers.first == slot { return true }
        }
        unsafe detail(slot).pointee.phase = .waiting
        return false
    }

    /// Takes a transaction out of its stream's queue, and starts the one that is first now.
    mutating func endTurn(_ slot: Int) {
        guard unsafe detail(slot).pointee.hasTurn else { return }
        unsafe detail(slot).pointee.hasTurn = false
        let number = unsafe detail(slot).pointee.file
        let writes = unsafe detail(slot).pointee.writes
        guard number >= 0, var record = state.table.records[number] else { return }
        let wasFirst = (writes ? record.writers : record.readers).first == slot
        if writes { record.writers.removeAll { $0 == slot } } else { record.readers.removeAll { $0 == slot } }
        state.table.records[number] = record
        guard wasFirst, let next = (writes ? record.writers : record.readers).first,
            detours.isDisjoint(with: .terminating)
        else { return }
        unsafe detail(next).pointee.phase = .held
        if detours.contains(.paused) { state.held.append(next) } else { moveOn(next) }
    }
}
