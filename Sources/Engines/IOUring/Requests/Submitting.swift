// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
public import DMAEngineKit
internal import SystemPackage

// From the queue to the kernel.

extension IOUringEngine {
    // The memory is this value's own, from its beginning to its end.
    // SAFETY: for each of these: the state and the tables live as long as the engine; callers pass numbers of slots, for each of
    // which there are a request and a transaction.
    var state: ColdState {
        _read { yield unsafe cold.pointee }
        nonmutating _modify { yield unsafe &cold.pointee }
    }
    func transaction(_ slot: Int) -> UnsafeMutablePointer<SlowPathTransaction> { unsafe state.transactions + slot }
    func request(_ slot: Int) -> UnsafeMutablePointer<Request> { unsafe requests + slot }

    /// `enqueue`, for transactions that are not one plain request.
    @usableFromInline @inline(never)
    mutating func enqueueSlowPath(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the list of free slots contains numbers of slots below `freeCount`; the files' numbers were checked against
        // the number of entries.
        guard freeCount > 0 else { return .full }
        freeCount -= 1
        let slot = unsafe Int(free[freeCount])
        let number = descriptor.place.number.map(UInt64.init) ?? chosen
        let names = descriptor.kind != .null && number < fileLimit
        unsafe request(slot).pointee.tag = tag
        unsafe request(slot).pointee.count = descriptor.count
        unsafe request(slot).pointee.state = .slowPath
        unsafe transaction(slot).pointee.begin(descriptor, file: names ? Int(number) : -1)
        apply(.enqueued, to: slot)
        if names { unsafe files[Int(number)].inFlight &+= 1 }
        if descriptor.command == .move || descriptor.command == .duplicate {
            let second = descriptor.secondPlace.number.map(UInt64.init) ?? chosen
            if second < fileLimit {
                unsafe transaction(slot).pointee.second = Int(second)
                unsafe files[Int(second)].inFlight &+= 1
            }
        }
        if descriptor.flags.contains(.interrupt) { watch() }
        state.unissued.append(slot)
        state.statistics.slowPathTransactions += 1
        detours.insert(.unissued)
        return .accepted
    }

    /// Makes sure that a task which waits for an interrupt is woken.
    private func watch() {
        guard state.watcher == nil, let watcher = Watcher(view, state.line) else { return }
        if state.carrier.signal(watcher.descriptor) { state.watcher = watcher } else { watcher.stop() }
    }

    /// `issuePending`, where there is more to do than to advance an index.
    @usableFromInline @inline(never)
    mutating func issueSlowPath() {
        // SAFETY: the word is the ring's, which the state keeps; all entries before the new tail are written.
        if detours.isDisjoint(with: [.paused, .terminating]), tail != issued {
            issued = tail
            unsafe cdma_store_release32(view.submissionTail, tail)
        }
        if detours.contains(.paused) { state.granted = tail &- issued }
        // `quiesce` drops terminated work; work queued during a pause starts at its end.
        guard !detours.contains(.terminating) else { return }
        detours.remove(.unissued)
        for index in 0..<state.unissued.count { start(state.unissued[index]) }
        state.unissued.removeAll(keepingCapacity: true)
        submitIssued()
    }

    /// Passes the issued entries to the carrier.
    @usableFromInline @inline(never)
    mutating func submitIssued() {
        // SAFETY: as above: a word of the ring.
        guard !detours.contains(.paused) else { return }
        let waiting = issued &- (unsafe cdma_load_acquire32(view.submissionHead))
        guard waiting > 0 else {
            detours.remove(.unsubmitted)
            return
        }
        let result: KernelResult
        switch submissionMethod.kind {
        case .systemCall:
            result = KernelResult(cdma_uring_enter(submissionMethod.ring, waiting, 0, submissionMethod.flags, nil, 0))
        case .kernelThread:
            return wakeThread(waiting)
        case .carrier:
            result = submitByCarrier(waiting)
        }
        if result.errno != nil || UInt32(result.rawValue) < waiting { delay(result) } else { detours.remove(.unsubmitted) }
    }

    /// Wakes the kernel's thread where it sleeps.
    @inline(never)
    private mutating func wakeThread(_ count: UInt32) {
        // SAFETY: as above. It announces that it sleeps before it reads the ring for the last time.
        cdma_full_barrier()
        guard unsafe cdma_load_acquire32(view.submissionFlags) & SubmissionFlags.needWakeUp != 0 else {
            detours.remove(.unsubmitted)
            return
        }
        let flags = submissionMethod.flags | EnterFlags.wakeUp
        let result = KernelResult(cdma_uring_enter(submissionMethod.ring, count, 0, flags, nil, 0))
        if let errno = result.errno {
            delay(result)
            // Nothing else wakes that thread.
            if !Self.mayPass(errno) { detours.insert(.lost) }
        } else {
            detours.remove(.unsubmitted)
        }
    }

    /// For threads, and for a ring that is not enabled yet.
    @inline(never)
    private mutating func submitByCarrier(_ count: UInt32) -> KernelResult {
        let result = state.carrier.submit(count)
        submissionMethod = state.carrier.submissionMethod
        return result
    }

    /// The kernel did not consume everything: EAGAIN, EBUSY and EINTR are temporary, so `next` and `wait` try again. Any other
    /// error ends the issued entries that were not consumed, with that error.
    @inline(never)
    mutating func delay(_ result: KernelResult) {
        // EEXIST: the ring belongs to another thread. A registered descriptor also belongs to that thread, and yields EINVAL or
        // EBADF here.
        let isRegistered = submissionMethod.flags & EnterFlags.registeredRing != 0
        switch result.errno {
        case .fileExists?: return refuseIssued(.fileExists)
        case .invalidArgument? where isRegistered, .badFileDescriptor? where isRegistered: return refuseIssued(.fileExists)
        case let errno? where lasts(errno):
            note(result)
            return refuseIssued(errno)
        default: break
        }
        detours.insert(.unsubmitted)
        state.statistics.delayedSubmissions += 1
        note(result)
    }

    /// Whether the ring has room for `count` more requests, and for one of each free slot, which `enqueue` writes without a
    /// check. Tries to make room; the kernel may consume nothing, and during a pause nothing is submitted.
    mutating func hasRoom(for count: Int) -> Bool {
        for attempt in 0..<2 {
            // SAFETY: the word is the ring's, which the state keeps.
            let used = Int(tail &- (unsafe cdma_load_acquire32(view.submissionHead)))
            if used + freeCount + count <= Int(view.submissionMask) + 1 { return true }
            if attempt == 0 { submitIssued() }
        }
        return false
    }

    /// Puts a request of the engine's own among the issued ones: a cancellation, which is optional. It is dropped where the
    /// ring has no room.
    mutating func pushOwn(_ entry: cdma_uring_sqe) {
        if hasRoom(for: 1) { push(entry) } else { state.statistics.refusedCalls += 1 }
    }

    /// Puts one request among the issued ones, before all that are queued and not issued. The caller submits it next, and has
    /// checked that there is room.
    private mutating func push(_ entry: cdma_uring_sqe) {
        // SAFETY: entries from `issued` on belong to the engine, the mask keeps each inside the ring, and by the caller's check
        // there is room: the kernel has consumed the previous entry in that place. Entries that wait for `issuePending` move up
        // by one.
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

    /// Part `part` of the requests of transaction `slot`.
    func entry(_ opcode: UInt8, _ handle: FileHandle, slot: Int, part: UInt64 = 0) -> cdma_uring_sqe {
        // SAFETY: callers pass numbers of slots in use.
        var entry = cdma_uring_sqe()
        entry.opcode = opcode
        entry.flags = handle.flags
        entry.fd = handle.number
        let stamp = unsafe request(slot).pointee.stamp
        entry.user_data = (stamp | (part & 0x7fff) + 1) << 16 | UInt64(slot)
        return entry
    }

    /// Pushes a transaction's single request. False where the ring has no room: the transaction then fails.
    @discardableResult
    mutating func push(_ entry: cdma_uring_sqe, of slot: Int, _ requests: TransactionState.Requests) -> Bool {
        guard hasRoom(for: 1) else {
            fail(slot, .resourceTemporarilyUnavailable)
            return false
        }
        apply(.requested(requests), to: slot)
        push(entry, of: slot)
        return true
    }

    /// Pushes a request of a slow-path transaction whose state includes it already, and for which there is room.
    mutating func push(_ entry: cdma_uring_sqe, of slot: Int) {
        // SAFETY: as above.
        unsafe transaction(slot).pointee.outstanding += 1
        push(entry)
    }

    /// Changes a transaction's state. An impossible event is counted and changes nothing; then false.
    @discardableResult
    func apply(_ event: TransactionState.Event, to slot: Int) -> Bool {
        // SAFETY: as above.
        if unsafe transaction(slot).pointee.apply(event) { return true }
        state.statistics.unexpectedEvents += 1
        return false
    }

    /// Keeps an issued transaction until the end of the pause.
    mutating func hold(_ slot: Int) {
        apply(.stopped(by: .pause), to: slot)
        state.held.append(slot)
    }

    // MARK: Starting

    /// Starts, or continues, an issued transaction.
    mutating func start(_ slot: Int) {
        // SAFETY: as above.
        if detours.contains(.paused) { return hold(slot) }
        let descriptor = unsafe transaction(slot).pointee.descriptor
        switch descriptor.kind {
        case .null:
            push(entry(Opcode.nop, .none, slot: slot), of: slot, .single(isDirect: false))
        case .peripheral:
            startTransfer(slot)
        case .command:
            startCommand(slot)
        case .cyclic:
            startCyclic(slot)
        default:
            finish(slot, .failed, .invalidArgument)
        }
    }

    /// Fails a transaction whose file is not attached.
    func record(of slot: Int) -> FileRecord? {
        // SAFETY: as above.
        let number = unsafe transaction(slot).pointee.file
        return number >= 0 && number < state.table.records.count ? state.table.records[number] : nil
    }

    private mutating func startTransfer(_ slot: Int) {
        // SAFETY: as above.
        let descriptor = unsafe transaction(slot).pointee.descriptor
        guard let record = record(of: slot) else {
            return fail(slot, .badFileDescriptor)
        }
        let isOrdered = record.isStream || descriptor.place.position == nil
        if isOrdered, unsafe !transaction(slot).pointee.hasTurn {
            guard takeTurn(slot, writes: descriptor.sourceCount > 0) else { return }
        }
        if descriptor.writes, record.direct != nil, unsafe transaction(slot).pointee.gate == nil {
            guard passGate(slot, record) else { return }
        }
        requestNext(slot)
    }

    // MARK: The gate between direct and buffered writes

    /// Enters a write at its file's gate; false where it waits there.
    private mutating func passGate(_ slot: Int, _ record: FileRecord) -> Bool {
        // SAFETY: as above; the loop counts over the numbers of slots. A slot that passes the gate has a file of the table.
        let number = unsafe transaction(slot).pointee.file
        let kind = gateKind(slot, record)
        if !record.gate.isClosed {
            // Plain direct writes in progress were not counted.
            var running = 0
            for other in 0...Int(slotMask) where unsafe request(other).pointee.state == .write {
                if unsafe Int(request(other).pointee.file) == number { running += 1 }
            }
            if kind == .direct {
                // Nothing is buffered: no reason to close the gate.
                unsafe transaction(slot).pointee.gate = .direct
                state.table.records[number]?.openDirect += 1
                return true
            }
            state.table.records[number]?.gate.close(running: running + record.openDirect)
            unsafe files[number].writeMask = .max
            detours.insert(.gated)
        }
        guard state.table.records[number]?.gate.enter(slot, kind) == true else {
            apply(.stopped(by: .gate), to: slot)
            return false
        }
        unsafe transaction(slot).pointee.gate = kind
        if kind == .direct { state.table.records[number]?.openDirect += 1 }
        return true
    }

    /// A write of kind `kind` has ended: starts those that waited for it.
    mutating func endGate(_ number: Int, _ kind: WriteGate.Kind) {
        guard let isClosed = state.table.records[number]?.gate.isClosed else { return }
        if kind == .direct { state.table.records[number]?.openDirect -= 1 }
        guard isClosed else { return }
        state.table.records[number]?.gate.leave(kind)
        admitWaiting(number)
    }

    private mutating func admitWaiting(_ number: Int) {
        // SAFETY: the waiting entries of a gate are numbers of slots in use; `number` is a file of the table.
        guard var record = state.table.records[number] else { return }
        while detours.isDisjoint(with: .terminating) {
            var kinds: [Int: WriteGate.Kind] = [:]
            if let first = record.gate.waiting.first { kinds[first] = gateKind(first, record) }
            guard let next = record.gate.admit({ kinds[$0] ?? .mixed }) else { break }
            let kind = kinds[next] ?? .mixed
            unsafe transaction(next).pointee.gate = kind
            if kind == .direct { record.openDirect += 1 }
            state.table.records[number] = record
            proceed(next)
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
        // SAFETY: callers pass numbers of slots in use.
        let number = unsafe transaction(slot).pointee.file
        unsafe transaction(slot).pointee.hasTurn = true
        if writes {
            state.table.records[number]?.writers.append(slot)
            if state.table.records[number]?.writers.first == slot { return true }
        } else {
            state.table.records[number]?.readers.append(slot)
            if state.table.records[number]?.readers.first == slot { return true }
        }
        apply(.stopped(by: .turn), to: slot)
        return false
    }

    /// Removes a transaction from its stream's queue, and starts the one that is first now.
    mutating func endTurn(_ slot: Int) {
        // SAFETY: as above.
        guard unsafe transaction(slot).pointee.hasTurn else { return }
        unsafe transaction(slot).pointee.hasTurn = false
        let number = unsafe transaction(slot).pointee.file
        let writes = unsafe transaction(slot).pointee.writes
        guard number >= 0, var record = state.table.records[number] else { return }
        let wasFirst = (writes ? record.writers : record.readers).first == slot
        if writes { record.writers.removeAll { $0 == slot } } else { record.readers.removeAll { $0 == slot } }
        state.table.records[number] = record
        guard wasFirst, let next = (writes ? record.writers : record.readers).first,
            detours.isDisjoint(with: .terminating)
        else { return }
        start(next)
        // With the next call: one that is refused at once would recurse through the whole queue.
        detours.insert(.unsubmitted)
    }
}
