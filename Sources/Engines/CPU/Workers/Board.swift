// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// What a job is; written by the engine before the job is delivered, only read from then on.
struct JobOrder {
    var descriptor: Descriptor
    var tag: UInt32
    /// Distinguishes the uses of a slot: larger is later.
    var serial: UInt64
    /// The job starts when this many fences are over.
    var afterFences: UInt32
    /// The worker that a job which waits for a device keeps to itself; nil for the others.
    var keeps: Int?
    /// Bytes under way together with this job's own, when it was delivered.
    var whole: Int
    /// What `configure` had said when the job was queued (rule 2).
    var configuration: EngineConfiguration
}

/// What the workers are to do, all of them.
enum Command {
    static let run: UInt32 = 0
    static let pause: UInt32 = 1
    static let terminate: UInt32 = 2
    static let stop: UInt32 = 3
}

/// The memory that an engine and its workers share: jobs, a ring of deliveries to each worker and one of completions back.
///
/// Each word has one writer, or is reached by atomic instructions alone; each stands in a cache line of its own side. A ring's
/// indices only grow; what it holds is written before the index that publishes it, and read after it.
///
/// A delivery names a slot and the use of it that is meant. A worker may come to it late, when others have done the job and
/// the slot has another: so it enters first and then looks whether the use is still the same, and the engine ends a use first
/// and then looks whether anybody is inside. Of the two, one sees the other.
// SAFETY: an order belongs to the engine until it is delivered and to the workers inside of its slot until they have left, as the words
// say that both reach by atomics.
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
    private let memory: UnsafeMutableRawPointer
    private let lanes: Int
    private let places: Int
    private let rings: Int

    init(_ configuration: CPUConfiguration, slots: Int, placement: Placement) {
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
        lanes = Board.common + slots * Board.cell
        rings = lanes + workers * Board.lane
        let bytes = rings + workers * 2 * places * 8
        unsafe memory = .allocate(byteCount: bytes, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    }

    // The last holder has gone: the engine has joined every worker.
    deinit {
        unsafe memory.deallocate()
        unsafe orders.deinitialize(count: slots)
        unsafe orders.deallocate()
    }

    // Bytes: the words of all, of a job, of a worker.
    private static let common = 256
    private static let cell = 64
    private static let lane = 320

    // MARK: Words of all

    /// A ``Command``, and the futex of those who are paused.
    var command: UInt32 { unsafe cdma_load_acquire32(memory) }
    /// Pieces that are being moved, and deliveries that a worker has not done with.
    var moving: UInt32 { unsafe cdma_load_acquire32(memory + 64) }
    var outstanding: UInt32 { unsafe cdma_load_acquire32(memory + 128) }
    /// Fences that are over, and the futex of those who wait for one.
    var fences: UInt32 { unsafe cdma_load_acquire32(memory + 192) }

    /// Changes the command and wakes everybody who may sleep over the old one.
    func setCommand(_ command: UInt32) {
        unsafe cdma_exchange32(memory, command)
        cdma_full_barrier()
        unsafe cdma_futex_wake(memory, .max)
        wakeFences()
        for peripheral in peripherals {
            peripheral.receiving.signal()
            peripheral.transmitting.signal()
        }
        if command == Command.stop { for worker in 0..<workers { ring(worker) } }
    }

    func sleep(while command: UInt32) { unsafe cdma_futex_wait(memory, command, 1_000_000_000) }
    func beginMoving() { unsafe cdma_fetch_add32(memory + 64, 1) }
    func endMoving() { unsafe cdma_fetch_add32(memory + 64, .max) }
    func addOutstanding(_ count: UInt32) { unsafe cdma_fetch_add32(memory + 128, count) }

    func endFence() {
        unsafe cdma_fetch_add32(memory + 192, 1)
        wakeFences()
    }
    /// After a termination: those that never ended count as over.
    func settleFences(_ count: UInt32) { unsafe cdma_store_release32(memory + 192, count) }

    private func wakeFences() {
        unsafe cdma_fetch_add32(memory + 196, 1)
        unsafe cdma_futex_wake(memory + 196, .max)
    }
    func sleepOnFence(unless isOver: () -> Bool) {
        let ticket = unsafe cdma_load_acquire32(memory + 196)
        if !isOver() { unsafe cdma_futex_wait(memory + 196, ticket, 1_000_000_000) }
    }

    // MARK: Words of a job

    private func cell(_ slot: Int) -> UnsafeMutableRawPointer { unsafe memory + Board.common + slot * Board.cell }

    /// Nobody is inside: clears all but the use and those who look whether it is theirs.
    func resetJob(_ slot: Int) {
        unsafe cell(slot).initializeMemory(as: UInt8.self, repeating: 0, count: 16)
        unsafe (cell(slot) + 20).initializeMemory(as: UInt8.self, repeating: 0, count: 24)
    }
    /// Which use of the slot this is: it changes when the job is reported or dropped.
    func use(_ slot: Int) -> UInt32 { unsafe cdma_load_acquire32(cell(slot) + 44) }
    func endUse(_ slot: Int) {
        unsafe cdma_fetch_add32(cell(slot) + 44, 1)
        cdma_full_barrier()
    }
    /// Whether the delivered use is the present one. If so, the slot stays as it is until `leave`.
    func enter(_ slot: Int, use: UInt32) -> Bool {
        unsafe cdma_fetch_add32(cell(slot) + 16, 1)
        cdma_full_barrier()
        if self.use(slot) == use { return true }
        leave(slot)
        return false
    }
    func leave(_ slot: Int) { unsafe cdma_fetch_add32(cell(slot) + 16, .max) }
    /// Takes the next `count` bytes for the caller: where they begin.
    func claim(_ slot: Int, _ count: UInt64) -> UInt64 { unsafe cdma_fetch_add64(cell(slot), count) }
    /// Says that `count` bytes are done: how many are, in all.
    func finish(_ slot: Int, _ count: UInt64) -> UInt64 { unsafe cdma_fetch_add64(cell(slot) + 8, count) &+ count }
    func finished(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cell(slot) + 8) }
    /// Whether a worker is inside, or about to find that it is late.
    func isHeld(_ slot: Int) -> Bool { unsafe cdma_load_acquire32(cell(slot) + 16) != 0 }
    /// Validation bits that any piece has found.
    func addFindings(_ slot: Int, _ bits: UInt32) { unsafe cdma_fetch_or32(cell(slot) + 20, bits) }
    func findings(_ slot: Int) -> UInt32 { unsafe cdma_load_acquire32(cell(slot) + 20) }
    /// The CRC, of the one worker that makes it.
    func setValue(_ slot: Int, _ value: UInt64) { unsafe cdma_store_release64(cell(slot) + 24, value) }
    func value(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cell(slot) + 24) }
    func setPeriods(_ slot: Int, _ periods: UInt64) { unsafe cdma_store_release64(cell(slot) + 32, periods) }
    func periods(_ slot: Int) -> UInt64 { unsafe cdma_load_acquire64(cell(slot) + 32) }
    /// Whether a piece could not be done.
    func setFailed(_ slot: Int) { unsafe cdma_fetch_or32(cell(slot) + 40, 1) }
    func failed(_ slot: Int) -> Bool { unsafe cdma_load_acquire32(cell(slot) + 40) != 0 }
    /// How far a job with a peripheral has come: in the list, or in this pass over the ring.
    func setPosition(_ slot: Int, _ position: UInt64) { unsafe cdma_store_release64(cell(slot) + 8, position) }

    // MARK: Rings: deliveries (from the engine to a worker) and completions (back)

    private func lane(_ worker: Int) -> UnsafeMutableRawPointer { unsafe memory + lanes + worker * Board.lane }
    private func entry(_ worker: Int, _ isBack: Bool, _ index: UInt32) -> UnsafeMutableRawPointer {
        let ring = rings + (worker * 2 + (isBack ? 1 : 0)) * places * 8
        return unsafe memory + ring + (Int(index) & (places - 1)) * 8
    }
    /// False where the ring is full.
    private func push(_ worker: Int, _ isBack: Bool, _ item: UInt64) -> Bool {
        let head = unsafe cdma_load_acquire32(lane(worker) + (isBack ? 128 : 0))
        let tail = unsafe lane(worker) + (isBack ? 192 : 64)
        let index = unsafe cdma_load_acquire32(tail)
        guard Int(index &- head) < places else { return false }
        unsafe entry(worker, isBack, index).storeBytes(of: item, as: UInt64.self)
        unsafe cdma_store_release32(tail, index &+ 1)
        return true
    }
    private func pop(_ worker: Int, _ isBack: Bool) -> UInt64? {
        let head = unsafe lane(worker) + (isBack ? 128 : 0)
        let index = unsafe cdma_load_acquire32(head)
        guard unsafe index != cdma_load_acquire32(lane(worker) + (isBack ? 192 : 64)) else { return nil }
        let item = unsafe entry(worker, isBack, index).load(as: UInt64.self)
        unsafe cdma_store_release32(head, index &+ 1)
        return item
    }

    /// Gives a job to a worker, and wakes it where it sleeps. False where the worker has too many that it has not looked at.
    func deliver(_ slot: Int, to worker: Int) -> Bool {
        addOutstanding(1)
        guard push(worker, false, UInt64(use(slot)) << 32 | UInt64(slot)) else {
            addOutstanding(.max)
            return false
        }
        // The worker says that it sleeps before it looks at the ring for the last time; so of the two, one sees the other.
        cdma_full_barrier()
        if unsafe cdma_load_acquire32(lane(worker) + 260) != 0 { ring(worker) }
        return true
    }
    private func ring(_ worker: Int) {
        unsafe cdma_fetch_add32(lane(worker) + 256, 1)
        unsafe cdma_futex_wake(lane(worker) + 256, 1)
    }
    func nextDelivery(_ worker: Int) -> (slot: Int, use: UInt32)? {
        pop(worker, false).map { (Int($0 & 0xffff_ffff), UInt32($0 >> 32)) }
    }

    /// Sleeps until there is a delivery or a reason to stop. May return early.
    func sleep(_ worker: Int) {
        let doorbell = unsafe lane(worker) + 256
        let ticket = unsafe cdma_load_acquire32(doorbell)
        unsafe cdma_store_release32(doorbell + 4, 1)
        cdma_full_barrier()
        let isIdle = unsafe cdma_load_acquire32(lane(worker)) == cdma_load_acquire32(lane(worker) + 64)
        // An hour: nothing but work wakes an idle worker.
        if isIdle && command != Command.stop { unsafe cdma_futex_wait(doorbell, ticket, 3_600_000_000_000) }
        unsafe cdma_store_release32(doorbell + 4, 0)
    }

    /// There is room: a job is completed once, and the ring has a place for each.
    func complete(_ slot: Int, by worker: Int) { _ = push(worker, true, UInt64(slot)) }
    func nextCompletion(_ worker: Int) -> Int? { pop(worker, true).map { Int($0) } }

    /// The engine's: slots whose completion lies in a ring still.
    func completions() -> [Int] {
        (0..<workers).flatMap { worker in
            let head = unsafe cdma_load_acquire32(lane(worker) + 128)
            let count = unsafe cdma_load_acquire32(lane(worker) + 192) &- head
            return (0..<count).map { unsafe Int(entry(worker, true, head &+ $0).load(as: UInt64.self)) }
        }
    }
}
