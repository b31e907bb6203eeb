// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACPUEngine
import DMACore
import Foundation

/// The gain from two threads: two channels side by side, and one engine that shares a large copy between two workers.
enum Threads {
    struct Line: Codable {
        var what: String
        var size: String
        var one: [Double]
        var two: [Double]
        var ratio: Double

        var row: String {
            String(
                format: "| %@ | %@ | %.2f (%.2f…%.2f) | %.2f (%.2f…%.2f) | **%.2f** |", what, size, one[0], one[1], one[2],
                two[0], two[1], two[2], ratio)
        }
    }

    static func run() throws -> [Line] {
        var lines: [Line] = []
        for size in [4 << 10, 64 << 10, 1 << 20, 64 << 20] {
            lines.append(try line("two channels, memcpy's ceiling", size) { try peers(size, threads: $0) })
            lines.append(try line("two channels", size) { try channels(size, threads: $0) })
        }
        for size in [4 << 20, 64 << 20] {
            lines.append(try line("one channel, two workers", size) { try workers(size, threads: $0) })
        }
        return lines
    }

    private static func line(_ what: String, _ size: Int, _ run: (Int) throws -> Double) rethrows -> Line {
        try line(what, size >= 1 << 20 ? "\(size >> 20) MiB" : "\(size >> 10) KiB", rounds: 7, run)
    }

    /// Runs alternately with one thread and with two.
    ///
    /// - Parameter run: returns the work of that many threads per second.
    static func line(_ what: String, _ size: String, rounds: Int, _ run: (Int) throws -> Double) rethrows -> Line {
        var (one, two) = ([Double](), [Double]())
        for _ in 0..<rounds {
            one.append(try run(1))
            two.append(try run(2))
        }
        let line = Line(
            what: what, size: size, one: [median(one), one.min() ?? 0, one.max() ?? 0],
            two: [median(two), two.min() ?? 0, two.max() ?? 0], ratio: median(zip(two, one).map { $0 / $1 }))
        say(line.row)
        return line
    }

    /// Starts `threads` threads on their own CPUs, all at once; returns the sum of their results in GB/s.
    private static func together(_ threads: Int, _ body: @escaping @Sendable (Int) -> Double) -> Double {
        let results = Results()
        let group = DispatchGroup()
        for index in 0..<threads {
            group.enter()
            Thread.detachNewThread {
                peer_pin(Int32(index))
                results.add(body(index))
                group.leave()
            }
        }
        group.wait()
        return results.sum
    }

    private final class Results: @unchecked Sendable {
        private let lock = NSLock()
        private var total = 0.0
        func add(_ value: Double) { lock.withLock { total += value } }
        var sum: Double { lock.withLock { total } }
    }

    /// As many pairs of buffers as fit in 64 MiB, at most 32, at least 1.
    private static func pieces(_ size: Int) -> Int { max(1, min(32, (32 << 20) / size)) }

    private static func operations(_ size: Int) -> Int { max(4, (128 << 20) / size) }

    private static func peers(_ size: Int, threads: Int) throws -> Double {
        together(threads) { _ in
            guard var memory = try? Copies.buffer(2 * pieces(size) * size) else { return 0 }
            let base = unsafe Copies.address(&memory)
            let number = operations(size)
            _ = unsafe peer_memcpy(base, 2 * size, size, pieces(size), size, number / 4)
            let time = unsafe peer_memcpy(base, 2 * size, size, pieces(size), size, number)
            return Double(number) * Double(size) / Double(time)
        }
    }

    private static func channels(_ size: Int, threads: Int) throws -> Double {
        together(threads) { _ in (try? channel(size, CPUConfiguration(depth: 32))) ?? 0 }
    }

    private static func workers(_ size: Int, threads: Int) throws -> Double {
        var configuration = CPUConfiguration(depth: 4, workers: threads)
        configuration.cpus = [0, 1]
        return try channel(size, configuration)
    }

    private static func channel(_ size: Int, _ configuration: CPUConfiguration) throws -> Double {
        let pieces = min(pieces(size), configuration.depth)
        let domain = Domain(name: "cpu")
        var pool = try Pool(
            Copies.buffer(2 * pieces * size).map(for: domain, direction: .bidirectional).get(), blockSize: size)
        var channel = try Channel<CPUEngine, Pair<Block, Block>>(CPUEngine(configuration), domain: domain)
        let operation = DMACore.Operation.copy(count: size)
        let first = configuration.workers > 0 ? DMACore.Operation.copy(flags: .interrupt) : operation
        for _ in 0..<pieces {
            guard let from = pool.lease(), let to = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(first, Pair(from, to)).get()
        }
        let number = operations(size)
        if configuration.workers > 0 {
            // The client sleeps: with as many workers as processors, polling would take time from one of them.
            _ = sleeping(&channel, pieces, number / 4)
            let time = sleeping(&channel, pieces, number)
            return time > 0 ? Double(number) * Double(size) / Double(time) : 0
        }
        _ = churn(&channel, operation, batch: pieces, operations: number / 4)
        let time = churn(&channel, operation, batch: pieces, operations: number)
        return time > 0 ? Double(number) * Double(size) / Double(time) : 0
    }

    /// As ``churn``, with interrupts.
    private static func sleeping(
        _ channel: inout Channel<CPUEngine, Pair<Block, Block>>, _ batch: Int, _ operations: Int
    ) -> Int64 {
        channel.issuePending()
        let begin = Deadline.now.nanoseconds
        var taken = 0
        while taken < operations {
            guard let finished = channel.next() else {
                guard (try? channel.wait(until: .after(milliseconds: 1000))) != nil else { return -1 }
                continue
            }
            guard finished.status == .complete else { return -1 }
            switch channel.submit(.copy(flags: .interrupt), finished.takeCargo()) {
            case .queued: taken += 1
            case .refused: return -1
            }
            channel.issuePending()
        }
        return Deadline.now.nanoseconds - begin
    }
}
