// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import DMAThreads

/// The engine's side of its workers: delivers jobs and collects completions. One thread at a time, like the engine.
@usableFromInline @safe
struct Team: ~Copyable {
    let board: Board
    private let threads: [NativeThread]
    private let depth: Int

    /// The state of a slot.
    private enum SlotState: UInt8 {
        case free
        /// Written, not delivered.
        case queued
        case delivered
        /// Reported; a worker is about to find that there is nothing left to do.
        case lingering
    }
    private var states: [SlotState]
    private var free: [Int]
    private var queued: [Int] = []
    /// Issued, but the workers' rings were full of jobs that other workers have finished meanwhile.
    private var waiting: [Int] = []
    /// Jobs in flight: queued or delivered.
    private var inFlight = 0
    private var serial: UInt64 = 0
    /// The number of jobs with a fence so far, and of those that the channel knows to have ended.
    private var fences: UInt32 = 0
    private var reportedFences: UInt32 = 0
    /// Jobs that have ended and follow a fence which has ended too, but whose completion is in another worker's ring: reported
    /// after it (rule 26).
    private var early: [Int] = []
    /// The number of each worker's jobs that wait for a device.
    private var kept: [Int]
    /// The worker with all delivered jobs of one end of a FIFO, and their number: so they run in order, and occupy one worker.
    private var keepers: [ObjectIdentifier: (worker: Int, jobs: Int)] = [:]
    private var turn = 0
    /// The cyclic job, and the number of its reported periods.
    private var cyclic: Int?
    private var periods: UInt64 = 0
    /// Interrupts whose completions the channel has taken.
    private var taken: UInt64 = 0

    init(_ configuration: CPUConfiguration) throws(DMAError) {
        let placement = try Placement(cpus: configuration.cpus, node: configuration.node)
        // A worker that was preempted inside a finished job keeps its slot for a while: at most one each.
        let slots = configuration.depth + configuration.workers
        let board = Board(configuration, slots: slots, placement: placement)
        var threads: [NativeThread] = []
        var failure: DMAError?
        for index in 0..<configuration.workers where failure == nil {
            do throws(DMAError) { threads.append(try Worker.start(board, index)) } catch { failure = error }
        }
        if let failure {
            Team.stop(board, threads)
            throw failure
        }
        self.board = board
        self.threads = threads
        depth = configuration.depth
        states = Array(repeating: .free, count: slots)
        free = Array((0..<slots).reversed())
        queued.reserveCapacity(slots)
        kept = Array(repeating: 0, count: configuration.workers)
    }

    deinit { Team.stop(board, threads) }

    /// Bounded: a worker reads the command after each piece.
    private static func stop(_ board: Board, _ threads: [NativeThread]) {
        board.setCommand(Command.stop)
        for thread in threads { thread.join() }
    }

    /// Whether later work must wait for a fence.
    mutating func hasOpenFence() -> Bool { reportedFences != fences }

    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32, _ configuration: EngineConfiguration) -> Bool {
        // SAFETY: `free` holds numbers of slots, and there is an order for each. No worker is inside a free slot, so that the
        // engine may write it.
        guard inFlight < depth else { return false }
        if free.isEmpty { sweep() }
        guard let slot = free.popLast() else { return false }
        serial &+= 1
        board.resetJob(slot)
        unsafe board.orders[slot] = JobOrder(
            descriptor: descriptor, tag: tag, serial: serial, afterFences: fences, keeps: nil, whole: 0,
            configuration: configuration)
        if descriptor.flags.contains(.fence) { fences &+= 1 }
        states[slot] = .queued
        queued.append(slot)
        inFlight += 1
        return true
    }

    private mutating func sweep() {
        for slot in states.indices where states[slot] == .lingering && !board.isHeld(slot) {
            states[slot] = .free
            free.append(slot)
        }
    }

    mutating func issue() {
        guard !queued.isEmpty else { return }
        waiting += queued
        queued.removeAll(keepingCapacity: true)
        deliverWaiting()
    }

    private mutating func deliverWaiting() {
        var delivered = 0
        while delivered < waiting.count, deliver(waiting[delivered]) { delivered += 1 }
        waiting.removeFirst(delivered)
    }

    /// False where no worker has room.
    private mutating func deliver(_ slot: Int) -> Bool {
        // SAFETY: the slot is queued and not delivered: the order is the engine's.
        let descriptor = unsafe board.orders[slot].descriptor
        let count = descriptor.count
        // Jobs that wait for a device occupy a worker; the others are distributed round robin over the rest.
        let waits = descriptor.kind == .peripheral || descriptor.kind == .cyclic
        if waits, let end = fifoEnd(slot), let worker = keepers[end]?.worker {
            return deliver(slot, to: worker, keeping: end)
        }
        let least = kept.min() ?? 0
        let eligible = kept.indices.filter { kept[$0] == least }
        let pieces = Piecework.isDivisible(descriptor) ? (count + board.quantum - 1) / board.quantum : 1
        let wanted = max(min(eligible.count, Int(clamping: pieces)), 1)
        unsafe board.orders[slot].whole = Piecework.sum(count, inFlight)
        var number = 0
        for step in eligible.indices where number < wanted {
            let worker = eligible[(turn + step) % eligible.count]
            if waits {
                if deliver(slot, to: worker, keeping: fifoEnd(slot)) { number += 1 }
            } else if board.deliver(slot, to: worker) {
                number += 1
            }
        }
        guard number > 0 else { return false }
        states[slot] = .delivered
        turn = (turn + number) & 0xffff
        return true
    }

    /// Delivers a job that waits for a device to one worker. False where that has no room.
    private mutating func deliver(_ slot: Int, to worker: Int, keeping end: ObjectIdentifier?) -> Bool {
        // SAFETY: the order is the engine's until the delivery, and again where the delivery failed; otherwise it is only read.
        // Before the delivery: from then on the worker reads the order.
        unsafe board.orders[slot].keeps = worker
        guard board.deliver(slot, to: worker) else {
            unsafe board.orders[slot].keeps = nil
            return false
        }
        kept[worker] += 1
        if let end { keepers[end, default: (worker, 0)].jobs += 1 }
        if unsafe board.orders[slot].descriptor.kind == .cyclic { (cyclic, periods) = (slot, 0) }
        states[slot] = .delivered
        return true
    }

    /// The FIFO's end that a job uses. Nil where it names no peripheral of this engine.
    private func fifoEnd(_ slot: Int) -> ObjectIdentifier? {
        // SAFETY: the slot has a job of this engine, whose order is not being written.
        let order = unsafe board.orders[slot]
        let number = Int(order.descriptor.place.number ?? order.configuration.peripheral)
        guard number < board.peripherals.count else { return nil }
        return ObjectIdentifier(board.peripherals[number].end(toDevice: PeripheralRun.isToDevice(order.descriptor)))
    }

    mutating func next() -> Completion? {
        // SAFETY: a cyclic job that has not ended keeps its slot, and its order is only read.
        guard inFlight > 0 else { return nil }
        if !waiting.isEmpty { deliverWaiting() }
        if let slot = takeEarly() { return report(slot) }
        for worker in 0..<board.workers {
            while let slot = board.nextCompletion(worker) {
                if isInTurn(slot) { return report(slot) }
                early.append(slot)
            }
        }
        // The fence may come from a ring that was read after the one with a job behind it.
        if let slot = takeEarly() { return report(slot) }
        guard let slot = cyclic else { return nil }
        let now = board.periods(slot)
        guard now > periods else { return nil }
        if unsafe board.orders[slot].descriptor.flags.contains(.interrupt) { taken &+= now - periods }
        periods = now
        return Completion(tag: unsafe board.orders[slot].tag, isPeriod: true, value: now)
    }

    /// Whether every fence before the job in `slot` was reported.
    // SAFETY: the slot has a job that is complete, and its order is only read.
    private func isInTurn(_ slot: Int) -> Bool { unsafe reportedFences &- board.orders[slot].afterFences <= .max / 2 }

    private mutating func takeEarly() -> Int? {
        for index in early.indices where isInTurn(early[index]) { return early.remove(at: index) }
        return nil
    }

    private mutating func report(_ slot: Int) -> Completion {
        // SAFETY: as above.
        let order = unsafe board.orders[slot]
        if order.descriptor.flags.contains(.fence) { reportedFences &+= 1 }
        let failed = board.failed(slot)
        var completion = Completion(tag: order.tag, status: failed ? .failed : .complete)
        if failed { completion.residue = order.descriptor.count - min(board.finished(slot), order.descriptor.count) }
        switch order.descriptor.kind {
        case .crc32c, .copyCRC32C: completion.value = board.value(slot)
        case .xorValidate, .pqValidate: completion.value = UInt64(board.findings(slot))
        case .cyclic: completion.value = board.periods(slot)
        default: break
        }
        if order.descriptor.flags.contains(.interrupt) { taken &+= 1 }
        leave(slot)
        states[slot] = .lingering
        if !board.isHeld(slot) {
            states[slot] = .free
            free.append(slot)
        }
        return completion
    }

    /// The job in `slot` has ended, in any way.
    private mutating func leave(_ slot: Int) {
        // SAFETY: as above; the order is not written until the slot is free.
        inFlight -= 1
        board.endUse(slot)
        if let worker = unsafe board.orders[slot].keeps {
            kept[worker] -= 1
            if let end = fifoEnd(slot), let keeper = keepers[end] {
                keepers[end] = keeper.jobs > 1 ? (keeper.worker, keeper.jobs - 1) : nil
            }
        }
        if cyclic == slot { cyclic = nil }
    }

    func terminate() { board.setCommand(Command.terminate) }

    mutating func quiesce(by deadline: Deadline) -> Bool {
        // SAFETY: no worker is inside any more; the slots in `complete` came from `complete` and so are numbers of slots.
        guard wait(by: deadline, until: { $0.outstanding == 0 }) else { return false }
        // No piece is in progress any more. Complete jobs are still reported; the rest never will be.
        let complete = Set(board.completions()).union(early)
        for slot in states.indices where !complete.contains(slot) && states[slot] != .free {
            if states[slot] != .lingering { leave(slot) }
            states[slot] = .free
            free.append(slot)
        }
        queued.removeAll(keepingCapacity: true)
        waiting.removeAll(keepingCapacity: true)
        board.settleFences(fences)
        reportedFences = fences
        let toTake = complete.count { unsafe board.orders[$0].descriptor.flags.contains(.interrupt) }
        taken = board.line.count &- UInt64(toTake)
        board.setCommand(Command.run)
        return true
    }

    /// Returns true once no piece is in progress; waits at most one second.
    func pause() -> Bool {
        guard board.command == Command.run else { return false }
        board.setCommand(Command.pause)
        if wait(by: .after(milliseconds: 1000), until: { $0.moving == 0 }) { return true }
        board.setCommand(Command.run)
        return false
    }

    func resume() -> Bool {
        guard board.command == Command.pause else { return false }
        board.setCommand(Command.run)
        return true
    }

    /// Polls continuously at first, then every 50 µs: pieces are short.
    private func wait(by deadline: Deadline, until isSo: (Board) -> Bool) -> Bool {
        // SAFETY: the C function reads a local value.
        var looks = 0
        while !isSo(board) {
            if Deadline.now >= deadline { return isSo(board) }
            if looks < 100 {
                cdma_relax()
            } else {
                var pause = timespec(tv_sec: 0, tv_nsec: 50_000)
                unsafe nanosleep(&pause, nil)
            }
            looks += 1
        }
        return true
    }

    func residue(of tag: UInt32) -> UInt64? {
        // SAFETY: there is an order for each slot, initialized with the board; workers only read it. A slot keeps its last job,
        // so that the residue of a terminated one can be queried.
        let slots = states.indices.filter { unsafe board.orders[$0].tag == tag && board.orders[$0].serial > 0 }
        guard let slot = slots.max(by: { unsafe board.orders[$0].serial < board.orders[$1].serial }) else { return nil }
        let count = unsafe board.orders[slot].descriptor.count
        return count - min(board.finished(slot), count)
    }

    /// Whether an interrupt was raised that the channel has not seen; sleeps until one is, or the deadline.
    func wait(until deadline: Deadline) -> Bool { board.line.wait(after: taken, until: deadline) }
}
