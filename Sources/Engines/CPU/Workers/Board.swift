// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// A job; written by the engine before the job is delivered, and only read from then on.
struct JobOrder {
    var descriptor: Descriptor
    var tag: UInt32
    /// Distinguishes the uses of a slot: later ones are larger.
    var serial: UInt64
    /// The job starts when this many fences have ended.
    var afterFences: UInt32
    /// The worker that a job which waits for a device keeps for itself; nil for the others.
    var keeps: Int?
    /// Bytes in progress together with this job's own, when it was delivered.
    var whole: Int
    /// The settings of `configure` when the job was queued (rule 2).
    var configuration: EngineConfiguration
}

/// The command for all workers.
enum Command {
    static let run: UInt32 = 0
    static let pause: UInt32 = 1
    static let terminate: UInt32 = 2
    static let stop: UInt32 = 3
}

/// The memory that an engine and its workers share: jobs, a delivery ring to each worker and a completion ring back.
///
/// Each word has one writer, or is accessed only by atomic instructions; each lies in a cache line of its own side. A ring's
/// indices only increase; an item is written before the index that publishes it, and read after it.
///
/// A delivery names a slot and its use. A worker may read it late, when others have finished the job and the slot has another:
/// so it enters first and then checks whether the use is still the same, and the engine ends a use first and then checks
/// whether a worker is inside. At least one of them sees the other.
// SAFETY: an order belongs to the engine until it is delivered, and to the workers inside its slot until they have left, as
// tracked by the words that both access by atomics.
@safe
final class Board: @unchecked Sendable {
    let slots: Int
    let workers: Int
    let quantum: UInt64
    let spin: Int64
    let kernels: Kernels
    let peripherals: [FIFOPeripheral]
    let line: InterruptLine
    let placement: Placement
    /// One for each slot.
    let orders: UnsafeMutablePointer<JobOrder>
    private let shared: UnsafeMutablePointer<cdma_board>
    private let jobs: UnsafeMutablePointer<cdma_board_job>
    private let lanes: UnsafeMutablePointer<cdma_board_lane>
    /// The contents of the rings: for each worker `places` entries, deliveries first.
    private let items: UnsafeMutablePointer<UInt64>
    private let places: Int

    init(_ configuration: CPUConfiguration, slots: Int, placement: Placement) {
        // SAFETY: just allocated, with that capacity; only `deinit` frees them. An order is initialized here, and assigned to
        // later.
        self.slots = slots
        workers = configuration.workers
        quantum = UInt64(configuration.quantum)
        spin = configuration.spin
        kernels = configuration.kernels
        peripherals = configuration.peripherals
        line = InterruptLine()
        self.placement = placement
        unsafe orders = .allocate(capacity: slots)
        let blank = JobOrder(
            descriptor: unsafe Descriptor(kind: .null), tag: .max, serial: 0, afterFences: 0, keeps: nil, whole: 0,
            configuration: EngineConfiguration())
        unsafe orders.initialize(repeating: blank, count: slots)
        var places = 4
        while places < 2 * slots { places *= 2 }
        self.places = places
        unsafe shared = Board.zeroed(cdma_board(), count: 1)
        unsafe jobs = Board.zeroed(cdma_board_job(), count: slots)
        unsafe lanes = Board.zeroed(cdma_board_lane(), count: workers)
        unsafe items = Board.zeroed(0, count: workers * 2 * places)
    }

    /// Memory that begins at a cache line.
    private static func zeroed<Word: BitwiseCopyable>(_ zero: Word, count: Int) -> UnsafeMutablePointer<Word> {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * MemoryLayout<Word>.stride, alignment: Int(CDMA_BOARD_LINE))
        // SAFETY: just allocated, with that size.
        return unsafe memory.initializeMemory(as: Word.self, repeating: zero, count: count)
    }

    // The last reference is released: the engine has joined every worker.
    deinit {
        // SAFETY: the last reference is released: the engine has joined every worker.
        unsafe shared.deallocate()
        unsafe jobs.deallocate()
        unsafe lanes.deallocate()
        unsafe items.deallocate()
        unsafe orders.deinitialize(count: slots)
        unsafe orders.deallocate()
    }

    // MARK: Words for all workers

    /// A ``Command``, and the futex of paused workers.
    // SAFETY: for all words below: they live as long as `self`, are aligned for their C types, and are accessed only by
    // atomics.
    var command: UInt32 { unsafe cdma_load_acquire32(cdma_board_command(shared)) }
    /// Pieces in progress, and deliveries that a worker has not finished with.
    var moving: UInt32 { unsafe cdma_load_acquire32(cdma_board_moving(shared)) }
    var outstanding: UInt32 { unsafe cdma_load_acquire32(cdma_board_outstanding(shared)) }
    /// The number of fences that have ended, and the futex of workers that wait for one.
    var fences: UInt32 { unsafe cdma_load_acquire32(cdma_board_fences(shared)) }

    /// Changes the command and wakes every worker that may sleep because of the old one.
    func setCommand(_ command: UInt32) {
        // SAFETY: as above.
        unsafe cdma_exchange32(cdma_board_command(shared), command)
        cdma_full_barrier()
        unsafe cdma_futex_wake(cdma_board_command(shared), .max)
        wakeFences()
        for peripheral in peripherals {
            peripheral.receiving.signal()
            peripheral.transmitting.signal()
        }
        if command == Command.stop { for worker in 0..<workers { wake(worker) } }
    }

    // SAFETY: for all of these: as above.
    func sleep(while command: UInt32) { unsafe cdma_futex_wait(cdma_board_command(shared), command, 1_000_000_000) }
    func beginMoving() { unsafe cdma_fetch_add32(cdma_board_moving(shared), 1) }
    func endMoving() { unsafe cdma_fetch_add32(cdma_board_moving(shared), .max) }
    func addOutstanding(_ count: UInt32) { unsafe cdma_fetch_add32(cdma_board_outstanding(shared), count) }

    // SAFETY, for both: as above.
    func endFence() {
        unsafe cdma_fetch_add32(cdma_board_fences(shared), 1)
        wakeFences()
    }
    /// After a termination: fences that never ended count as ended.
    func settleFences(_ count: UInt32) { unsafe cdma_store_release32(cdma_board_fences(shared), count) }

    // SAFETY: for both: as above.
    private func wakeFences() {
        unsafe cdma_fetch_add32(cdma_board_fence_ticket(shared), 1)
        unsafe cdma_futex_wake(cdma_board_fence_ticket(shared), .max)
    }
    func sleepOnFence(unless isOver: () -> Bool) {
        let ticket = unsafe cdma_load_acquire32(cdma_board_fence_ticket(shared))
        if !isOver() { unsafe cdma_futex_wait(cdma_board_fence_ticket(shared), ticket, 1_000_000_000) }
    }

    // MARK: Words of a job

    // SAFETY: for each of these: callers pass numbers of slots, for each of which there is a job; its words live as long as
    // `self` and are accessed only by atomics.
    private func job(_ slot: Int) -> UnsafeMutablePointer<cdma_board_job> { unsafe jobs + slot }

    // SAFETY, for each of these: callers pass numbers of slots, for each of which there is a job; its words live as long as
    // `self` and are accessed only by atomics. Only a slot without workers inside is reset.
    /// Clears everything except the use and the count of workers that check it. No worker is inside.
    func resetJob(_ slot: Int) { unsafe cdma_board_job_reset(job(slot)) }
    /// The slot's use: it changes when the job is reported or dropped.
    func use(_ slot: Int) -> UInt32 { unsafe cdma_load_acquire32(cdma_board_job_use(job(slot))) }
    func endUse(_ slot: Int) {
        unsafe cdma_fetch_add32(cdma_board_job_use(job(slot)), 1)
        cdma_full_barrier()
    }
    /// Whether the delivered use is the present one. If so, the slot does not change until `leave`.
    func enter(_ slot: Int, use: UInt32) -> Bool {
        unsafe cdma_fetch_add32(cdma_board_job_holders(job(slot)), 1)
        cdma_full_barrier()
        if self.use(slot) == use { return true }
        leave(slot)
        return false
    }
    func leave(_ slot: Int) { unsafe cdma_fetch_add32(cdma_board_job_holders(job(slot)), .max) }
    /// Claims the next `count` bytes for the caller: returns where they begin.
    func claim(_ slot: Int, _ count: UInt64) -> UInt64 { unsafe cdma_fetch_add64(cdma_board_job_claimed(job(slot)), count) }
    /// Adds `count` bytes to those done: returns the total.
    func finish(_ slot: Int, _ count: UInt64) -> UInt64 {
        unsafe cdma_fetch_add64(cdma_board_job_finished(job(slot)), count) &+ count
    }
    func finished(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cdma_board_job_finished(job(slot))) }
    /// Whether a worker is inside, or is about to find that it is late.
    func isHeld(_ slot: Int) -> Bool { unsafe cdma_load_acquire32(cdma_board_job_holders(job(slot))) != 0 }
    /// The validation bits of all pieces.
    func addFindings(_ slot: Int, _ bits: UInt32) { unsafe cdma_fetch_or32(cdma_board_job_findings(job(slot)), bits) }
    func findings(_ slot: Int) -> UInt32 { unsafe cdma_load_acquire32(cdma_board_job_findings(job(slot))) }
    /// The CRC, of the one worker that computes it.
    func setValue(_ slot: Int, _ value: UInt64) { unsafe cdma_store_release64(cdma_board_job_value(job(slot)), value) }
    func value(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cdma_board_job_value(job(slot))) }
    func setPeriods(_ slot: Int, _ periods: UInt64) { unsafe cdma_store_release64(cdma_board_job_periods(job(slot)), periods) }
    func periods(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cdma_board_job_periods(job(slot))) }
    /// Whether a piece failed.
    func setFailed(_ slot: Int) { unsafe cdma_fetch_or32(cdma_board_job_failed(job(slot)), 1) }
    func failed(_ slot: Int) -> Bool { unsafe cdma_load_acquire32(cdma_board_job_failed(job(slot))) != 0 }
    /// The progress of a job with a peripheral: in the list, or in this pass over the ring.
    func setPosition(_ slot: Int, _ position: UInt64) {
        unsafe cdma_store_release64(cdma_board_job_finished(job(slot)), position)
    }

    // MARK: Rings: deliveries (from the engine to a worker) and completions (back)

    // SAFETY: callers pass numbers of workers, for each of which there is a lane.
    private func lane(_ worker: Int) -> UnsafeMutablePointer<cdma_board_lane> { unsafe lanes + worker }

    private enum Way: Int { case delivery, completion }

    // SAFETY: for each of these: the rings are parts of the lanes and live as long as `self`. An item is written before the index
    // that publishes it is stored, and read after that index was loaded; one side pushes and one pops.
    private func ring(_ worker: Int, _ way: Way) -> UnsafeMutablePointer<cdma_board_ring>? {
        unsafe way == .delivery ? cdma_board_deliveries(lane(worker)) : cdma_board_completions(lane(worker))
    }
    private func item(_ worker: Int, _ way: Way, _ index: UInt32) -> UnsafeMutablePointer<UInt64> {
        // SAFETY: the mask keeps it inside the ring.
        unsafe items + (worker * 2 + way.rawValue) * places + (Int(index) & (places - 1))
    }
    /// False where the ring is full.
    private func push(_ worker: Int, _ way: Way, _ value: UInt64) -> Bool {
        let head = unsafe cdma_load_acquire32(cdma_board_ring_head(ring(worker, way)))
        let index = unsafe cdma_load_acquire32(cdma_board_ring_tail(ring(worker, way)))
        guard Int(index &- head) < places else { return false }
        unsafe item(worker, way, index).pointee = value
        unsafe cdma_store_release32(cdma_board_ring_tail(ring(worker, way)), index &+ 1)
        return true
    }
    private func pop(_ worker: Int, _ way: Way) -> UInt64? {
        let index = unsafe cdma_load_acquire32(cdma_board_ring_head(ring(worker, way)))
        guard unsafe index != cdma_load_acquire32(cdma_board_ring_tail(ring(worker, way))) else { return nil }
        let value = unsafe item(worker, way, index).pointee
        unsafe cdma_store_release32(cdma_board_ring_head(ring(worker, way)), index &+ 1)
        return value
    }

    /// Delivers a job to a worker, and wakes it where it sleeps. False where its ring is full.
    // SAFETY: for each of these: the lane's words live as long as `self`, and are accessed only by atomics.
    func deliver(_ slot: Int, to worker: Int) -> Bool {
        addOutstanding(1)
        guard push(worker, .delivery, UInt64(use(slot)) << 32 | UInt64(slot)) else {
            addOutstanding(.max)
            return false
        }
        // The worker announces that it sleeps before it reads the ring for the last time; so at least one of them sees the
        // other.
        cdma_full_barrier()
        if unsafe cdma_load_acquire32(cdma_board_lane_sleeps(lane(worker))) != 0 { wake(worker) }
        return true
    }
    private func wake(_ worker: Int) {
        unsafe cdma_fetch_add32(cdma_board_lane_doorbell(lane(worker)), 1)
        unsafe cdma_futex_wake(cdma_board_lane_doorbell(lane(worker)), 1)
    }
    func nextDelivery(_ worker: Int) -> (slot: Int, use: UInt32)? {
        pop(worker, .delivery).map { (Int($0 & 0xffff_ffff), UInt32($0 >> 32)) }
    }

    /// Sleeps until there is a delivery or a reason to stop. May return early.
    func sleep(_ worker: Int) {
        // SAFETY: as above.
        let doorbell = unsafe cdma_board_lane_doorbell(lane(worker))
        let sleeps = unsafe cdma_board_lane_sleeps(lane(worker))
        let ticket = unsafe cdma_load_acquire32(doorbell)
        unsafe cdma_store_release32(sleeps, 1)
        cdma_full_barrier()
        let ring = unsafe cdma_board_deliveries(lane(worker))
        let isIdle = unsafe cdma_load_acquire32(cdma_board_ring_head(ring)) == cdma_load_acquire32(cdma_board_ring_tail(ring))
        // One hour: only work wakes an idle worker.
        if isIdle && command != Command.stop { unsafe cdma_futex_wait(doorbell, ticket, 3_600_000_000_000) }
        unsafe cdma_store_release32(sleeps, 0)
    }

    /// There is room: a job completes once, and the ring has an entry for each.
    func complete(_ slot: Int, by worker: Int) { _ = push(worker, .completion, UInt64(slot)) }
    func nextCompletion(_ worker: Int) -> Int? { pop(worker, .completion).map { Int($0) } }

    /// For the engine: the slots whose completions are still in a ring.
    func completions() -> [Int] {
        // SAFETY: only the engine pops completions, and it calls this: the entries between the two indices stay until it does.
        (0..<workers).flatMap { worker in
            let ring = unsafe cdma_board_completions(lane(worker))
            let head = unsafe cdma_load_acquire32(cdma_board_ring_head(ring))
            let count = unsafe cdma_load_acquire32(cdma_board_ring_tail(ring)) &- head
            return (0..<count).map { unsafe Int(item(worker, .completion, head &+ $0).pointee) }
        }
    }
}
