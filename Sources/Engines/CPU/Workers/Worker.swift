// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import DMAThreads

/// One thread of an engine: takes jobs from its ring, helps with divisible ones, sleeps when there are none.
final class Worker: Sendable {
    private let board: Board
    private let index: Int

    private init(_ board: Board, _ index: Int) {
        self.board = board
        self.index = index
    }

    /// Starts a thread, which ends after ``Command/stop``.
    ///
    /// - Throws: `engineFailed` with the error number where the system cannot create a thread.
    static func start(_ board: Board, _ index: Int) throws(DMAError) -> NativeThread {
        let worker = Worker(board, index)
        return try NativeThread { worker.work() }
    }

    private func work() {
        board.placement.apply(to: index)
        while board.command != Command.stop {
            guard let (slot, use) = board.nextDelivery(index) ?? look() else {
                board.sleep(index)
                continue
            }
            if board.enter(slot, use: use) {
                execute(slot)
                board.leave(slot)
            }
            board.addOutstanding(.max)
        }
    }

    /// Spins for a delivery, at most for the configured time.
    private func look() -> (slot: Int, use: UInt32)? {
        guard board.spin > 0 else { return nil }
        let end = cdma_monotonic_nanoseconds() + board.spin
        repeat {
            for _ in 0..<16 {
                if let delivery = board.nextDelivery(index) { return delivery }
                cdma_relax()
            }
        } while board.command != Command.stop && cdma_monotonic_nanoseconds() < end
        return nil
    }

    private func execute(_ slot: Int) {
        // SAFETY: the slot was entered with its present use: its order does not change until `leave`.
        let order = unsafe board.orders[slot]
        while board.fences &- order.afterFences > .max / 2 {
            guard board.command < Command.terminate else { return }
            board.sleepOnFence { board.fences &- order.afterFences <= .max / 2 || board.command >= Command.terminate }
        }
        switch order.descriptor.kind {
        case .peripheral, .cyclic: runWithPeripheral(slot, order)
        case let kind where kind == .null || order.descriptor.count == 0:
            if mayMove() {
                board.endMoving()
                complete(slot, order)
            }
        default:
            if Piecework.isDivisible(order.descriptor) { help(slot, order) } else { runAlone(slot, order) }
        }
    }

    /// Asks for permission to run one piece. Sleeps while paused; false where the job is to be dropped.
    private func mayMove() -> Bool {
        while true {
            // Announced before the command is read; the engine changes the command first and reads the announcements
            // afterwards.
            board.beginMoving()
            let command = board.command
            if command == Command.run { return true }
            board.endMoving()
            guard command == Command.pause else { return false }
            board.sleep(while: command)
        }
    }

    /// Runs pieces of a job that others may be working on too. The worker with the last piece completes it.
    private func help(_ slot: Int, _ order: JobOrder) {
        let count = order.descriptor.count
        while mayMove() {
            let offset = board.claim(slot, board.quantum)
            guard offset < count else {
                board.endMoving()
                return
            }
            let length = min(board.quantum, count - offset)
            let found = Piecework.run(
                order.descriptor, board.kernels, at: Int(offset), count: Int(length), whole: order.whole, carry: 0)
            if let found {
                if found != 0 { board.addFindings(slot, UInt32(truncatingIfNeeded: found)) }
            } else {
                board.setFailed(slot)
            }
            let isLast = board.finish(slot, length) == count
            board.endMoving()
            if isLast {
                complete(slot, order)
                return
            }
        }
    }

    /// Runs a job whose pieces depend on each other.
    private func runAlone(_ slot: Int, _ order: JobOrder) {
        let count = order.descriptor.count
        var carry = order.descriptor.value
        var done: UInt64 = 0
        while done < count {
            guard mayMove() else { return }
            let length = min(board.quantum, count - done)
            let result = Piecework.run(
                order.descriptor, board.kernels, at: Int(done), count: Int(length), whole: order.whole, carry: carry)
            guard let result else {
                board.setFailed(slot)
                board.endMoving()
                break
            }
            carry = result
            done = board.finish(slot, length)
            board.endMoving()
        }
        board.setValue(slot, carry)
        complete(slot, order)
    }

    /// Moves the bytes that a peripheral requests, and sleeps while it requests none.
    private func runWithPeripheral(_ slot: Int, _ order: JobOrder) {
        let number = Int(order.descriptor.place.number ?? order.configuration.peripheral)
        guard number < board.peripherals.count,
            var run = PeripheralRun(order.descriptor, board.peripherals[number], order.configuration)
        else {
            board.setFailed(slot)
            complete(slot, order)
            return
        }
        let isOver = move(&run, slot, order)
        run.end()
        if isOver { complete(slot, order) }
    }

    /// Moves a transfer's bytes to its end, or to its failure. False where the job is to be dropped.
    private func move(_ run: inout PeripheralRun, _ slot: Int, _ order: JobOrder) -> Bool {
        while !run.isOver {
            guard mayMove() else { return false }
            // Never across the end of a period, so that each is reported when it ends (rule 22).
            let limit = min(board.quantum, run.period == 0 ? .max : run.period - run.moved % run.period)
            let moved = run.step(order.descriptor, limit: Int(limit))
            board.setPosition(slot, order.descriptor.count - run.residue)
            board.endMoving()
            guard let moved else {
                board.setFailed(slot)
                return true
            }
            if run.periods > board.periods(slot) {
                board.setPeriods(slot, run.periods)
                if order.descriptor.flags.contains(.interrupt) { board.line.raise() }
            } else if moved == 0 {
                run.sleep(nanoseconds: 1_000_000_000) { board.command != Command.run }
            }
        }
        return true
    }

    private func complete(_ slot: Int, _ order: JobOrder) {
        let flags = order.descriptor.flags
        board.complete(slot, by: index)
        if flags.contains(.fence) { board.endFence() }
        if flags.contains(.interrupt) { board.line.raise() }
    }
}
