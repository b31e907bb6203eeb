// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACPUEngine
import DMACore
import Foundation
import Synchronization

/// The three transfer modes with a foreground task on the same CPU: the transfer's share, and its effect on the task.
enum Modes {
    struct Line: Codable {
        var mode: String
        var asked: Double?
        /// The share of the processor, and of the time with a quantum in progress as the pacing counts it.
        var share: Double
        var duty: Double
        var speed: Double
        /// Microseconds: p50 and p99 with the transfer, p50 and p99 alone.
        var foreground: [Double]

        var row: String {
            let asked = asked.map { String(format: "%.0f %%", $0 * 100) } ?? "–"
            return String(
                format: "| %@ | %@ | %.1f %% | %.1f %% | %.2f | %.1f | %.1f | %.1f | %.1f |", mode, asked, share * 100,
                duty * 100, speed,
                foreground[0], foreground[1], foreground[2], foreground[3])
        }
    }

    private static let cpu: Int32 = 0
    private static let size = 1 << 20
    private static let quantum: UInt64 = 256 << 10

    static func run() throws -> [Line] {
        let modes: [(String, Double?, () -> (TransferMode, DemandLine?))] = [
            ("burst", nil, { (.burst, nil) }),
            ("cycle stealing", 0.10, { (.cycleStealing(share: 0.10), nil) }),
            ("cycle stealing", 0.25, { (.cycleStealing(share: 0.25), nil) }),
            ("cycle stealing", 0.50, { (.cycleStealing(share: 0.50), nil) }),
            (
                "demand (256 KiB after each piece)", nil,
                {
                    let line = DemandLine()
                    return (.demand(line), line)
                }
            ),
        ]
        var rounds = modes.map { _ in [Line]() }
        for _ in 0..<5 {
            for (index, mode) in modes.enumerated() {
                let (policy, line) = mode.2()
                rounds[index].append(try once(mode.0, mode.1, policy, line))
            }
        }
        return rounds.map { lines in
            var line = lines[0]
            line.share = median(lines.map(\.share))
            line.duty = median(lines.map(\.duty))
            line.speed = median(lines.map(\.speed))
            line.foreground = (0..<4).map { place in median(lines.map { $0.foreground[place] }) }
            say(line.row)
            return line
        }
    }

    private final class Shared: Sendable {
        let stop = Atomic<Bool>(false)
        let running = Atomic<Bool>(false)
        let busy = Atomic<Int64>(0)
        let elapsed = Atomic<Int64>(0)
        let moved = Atomic<Int>(0)
        let duty = Atomic<Int>(0)
    }

    private static func once(_ name: String, _ asked: Double?, _ mode: TransferMode, _ line: DemandLine?) throws -> Line {
        peer_pin(cpu)
        let alone = foreground(milliseconds: 150) {}
        let shared = Shared()
        let group = DispatchGroup()
        group.enter()
        Thread.detachNewThread {
            peer_pin(cpu)
            transfer(mode, shared)
            group.leave()
        }
        while !shared.running.load(ordering: .acquiring) { usleep(1000) }
        let beside = foreground(milliseconds: 400) { line?.request(quantum) }
        shared.stop.store(true, ordering: .releasing)
        line?.request(1)
        group.wait()
        let elapsed = Double(shared.elapsed.load(ordering: .acquiring))
        return Line(
            mode: name, asked: asked, share: Double(shared.busy.load(ordering: .acquiring)) / elapsed,
            duty: Double(shared.duty.load(ordering: .acquiring)) / 1e6,
            speed: Double(shared.moved.load(ordering: .acquiring)) / elapsed, foreground: beside + alone)
    }

    /// Pieces of about 50 µs, back to back: p50 and p99 of their times, in microseconds.
    private static func foreground(milliseconds: Int64, _ each: () -> Void) -> [Double] {
        var times: [Double] = []
        let end = Deadline.after(milliseconds: milliseconds)
        while Deadline.now < end {
            let begin = Deadline.now.nanoseconds
            _ = peer_spin(30_000)
            times.append(Double(Deadline.now.nanoseconds - begin) / 1000)
            each()
        }
        times.sort()
        return [times[times.count / 2], times[min(times.count * 99 / 100, times.count - 1)]]
    }

    /// Copies a megabyte again and again, in the given mode, until told to stop.
    private static func transfer(_ mode: TransferMode, _ shared: Shared) {
        do {
            let domain = Domain(name: "cpu")
            var pool = try Pool(
                Copies.buffer(8 * size).map(for: domain, direction: .bidirectional).get(), blockSize: size)
            var channel = try Channel<PacedEngine<CPUEngine>, Pair<Block, Block>>(
                PacedEngine(CPUEngine(CPUConfiguration(depth: 4)), mode: mode, quantum: quantum), domain: domain)
            for _ in 0..<4 {
                guard let from = pool.lease(), let to = pool.lease() else { return }
                _ = try channel.submit(.copy(), Pair(from, to)).get()
            }
            channel.issuePending()
            shared.running.store(true, ordering: .releasing)
            let (begin, worked) = (Deadline.now.nanoseconds, peer_processor_time())
            while !shared.stop.load(ordering: .acquiring) {
                while let finished = channel.next() {
                    shared.moved.wrappingAdd(size, ordering: .relaxed)
                    _ = try channel.submit(.copy(), finished.takeCargo()).get()
                    channel.issuePending()
                }
                if case .burst = mode { continue }
                _ = try channel.wait(until: .after(milliseconds: 20))
            }
            let duty = channel.withEngine { $0.totalDuty }
            shared.duty.store(Int(duty.elapsed > 0 ? duty.busy * 1_000_000 / duty.elapsed : 0), ordering: .releasing)
            shared.elapsed.store(Deadline.now.nanoseconds - begin, ordering: .releasing)
            shared.busy.store(peer_processor_time() - worked, ordering: .releasing)
        } catch {
            say("modes: \(error)")
            shared.elapsed.store(1, ordering: .releasing)
            shared.running.store(true, ordering: .releasing)
        }
    }
}
