// SPDX-License-Identifier: Apache-2.0

import DMABench

/// A result as large as a real one, made from nothing: three contestants, five sizes, modes beside a foreground task.
enum Sample {
    static let sizes = [64, 1024, 16_384, 262_144, 4_194_304]
    static let files = "Files by size"
    static let fileSizes = [4096, 65_536]
    static let engines = ["memcpy", "cpu", "cpu-threads"]

    static func summary(_ base: Int) -> LatencySummary {
        var latencies = Latencies()
        for step in 0..<5000 { latencies.record(Int64(base + base * step / 5000 + (step % 100 == 0 ? base * 20 : 0))) }
        guard let summary = latencies.summary else { preconditionFailure("something was recorded") }
        return summary
    }

    static func row(
        _ name: String, _ point: BenchPoint, speed: Double, foreground: [ForegroundEffect] = [], notes: [String] = []
    ) -> BenchRow {
        BenchRow(
            name: name, point: point, implementation: "test", inFlight: point.depth,
            bytesPerSecond: [speed * 0.9, speed, speed * 1.1], cpuSecondsPerGB: [1e9 / speed, 1e9 / speed * 1.1, 1e9 / speed],
            submitNanoseconds: point.isMemcpy ? [] : [21, 22, 23], issueNanoseconds: point.isMemcpy ? [] : [5, 6, 7],
            latency: summary(100 + point.bytes / 10), share: foreground.isEmpty ? [] : [0.25], foreground: foreground,
            disturbedRepeats: 0, bytesVerified: 1 << 20, bytesWrong: 0, notes: notes, failure: nil)
    }

    static func result(engines: [String] = engines, command: [String] = ["dmactl", "bench"], name: String = "Copies by size")
        -> BenchResult
    {
        var sweep = BenchCase()
        sweep.name = name
        var rows: [BenchRow] = []
        for size in sizes {
            for (index, engine) in engines.enumerated() {
                rows.append(
                    row(
                        name, BenchPoint(engine: engine, bytes: size),
                        speed: Double(index + 1) * 1e7 * Double(size).squareRoot()))
            }
        }
        for (index, mode) in [BenchMode.burst, .cycleStealing(0.5), .cycleStealing(0.1), .demand].enumerated() {
            let effect = ForegroundEffect(
                aloneP50: 50_000, aloneP99: 90_000, besideP50: 51_000, besideP99: 4e6 / Double(index + 1),
                rate: 0.5 + Double(index) * 0.1)
            rows.append(
                row(
                    "Transfer modes", BenchPoint(engine: "cpu", bytes: 1 << 20, depth: 4, mode: mode, wait: .wait),
                    speed: 8e9 / Double(index + 1), foreground: [effect]))
        }
        for operation in [BenchOperation.fromPeripheral, .toPeripheral] {
            for size in fileSizes {
                var point = BenchPoint(engine: "io_uring", operation: operation, bytes: size, wait: .wait)
                rows.append(row(files, point.besideMemcpy, speed: 2e10))
                if let call = point.besideSystemCall { rows.append(row(files, call, speed: 1e7 * Double(size).squareRoot())) }
                rows.append(row(files, point, speed: 2e7 * Double(size).squareRoot()))
                point.engine = "other"
                rows.append(row(files, point, speed: 3e7 * Double(size).squareRoot()))
            }
        }
        return BenchResult(
            began: "2026-01-01T00:00:00Z", seconds: 12.3, command: command, machine: MachineFacts(),
            plan: BenchPlan(cases: [sweep]), rows: rows, skipped: [], disturbance: Disturbance(seconds: 12, steal: 0.001),
            warnings: ["the machine was busy"])
    }
}
