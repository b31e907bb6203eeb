// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMAConformance
import DMACore
import DMASelfTest
import Glibc

struct TestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Move data through every engine in every way, verify each byte, show speed, latency and processor time.",
        discussion: """
            Names and meanings are dmatest's where it has them. A failure prints the command that repeats it.

            EXAMPLES
              dmactl test
              dmactl test --engine cpu --operation copy --operation xor
              dmactl test --seed 42 --iterations 200
              dmactl test --json > result.json
            """)

    @Option(help: "Seed of all random numbers; one is chosen and shown where it is not given.")
    var seed: UInt64?
    @Option(help: "Engine to test; may be given several times. All by default.")
    var engine: [String] = []
    @Option(help: "Operation to test, by its name in dmactl list; may be given several times. All by default.")
    var operation: [String] = []
    @Option(help: "Bytes in a transfer: dmatest's test_buf_size.")
    var bufferSize = 65_536
    @Option(help: "Iterations of each check of the contract.")
    var iterations = 20
    @Option(help: "Transactions in flight while throughput is measured.")
    var depth = 32
    @Option(help: "Seconds for each operation's measurement.")
    var duration = 1.0
    @Flag(help: "As JSON, for programs; nothing else is printed.")
    var json = false

    func validate() throws {
        guard (64...(1 << 30)).contains(bufferSize) else { throw ValidationError("--buffer-size is 64 to 1073741824 bytes") }
        guard (1...1_000_000).contains(iterations) else { throw ValidationError("--iterations is 1 to 1000000") }
        guard (1...4096).contains(depth) else { throw ValidationError("--depth is 1 to 4096") }
        guard duration > 0, duration <= 3600 else { throw ValidationError("--duration is above 0 and at most 3600 seconds") }
        for name in operation where kind(name) == nil {
            let names = OperationKind.allCases.map { "\($0)" }.joined(separator: ", ")
            throw ValidationError("no operation is called \"\(name)\"; there are \(names)")
        }
        let engines = DMASystem().engines.map(\.offer.name)
        for name in engine where !engines.contains(name) {
            throw ValidationError("no engine is called \"\(name)\"; there are \(engines.joined(separator: ", "))")
        }
    }

    func run() async throws {
        var test = SelfTest(seed: seed ?? UInt64.random(in: 1...999_999_999))
        test.iterations = iterations
        test.bytes = bufferSize
        test.depth = depth
        test.duration = Int64(duration * 1e9)
        test.engines = engine.isEmpty ? nil : Set(engine)
        test.operations = operation.isEmpty ? nil : Set(operation.compactMap(kind))
        let showsProgress = !json && isatty(STDERR_FILENO) == 1
        let report = try await test.run(on: DMASystem()) { step in
            if showsProgress { Progress.show(step) }
        }
        if showsProgress { Progress.clear() }
        print(json ? try JSON.text(TestDocument(report)) : TestTables.text(report, verbose: test.operations == nil))
        guard !report.passed else { return }
        if !json { print("\nto repeat: dmactl test --seed \(report.seed)" + repeated) }
        throw ExitCode(1)
    }

    private var repeated: String {
        engine.map { " --engine \($0)" }.joined() + operation.map { " --operation \($0)" }.joined()
            + (iterations == 20 ? "" : " --iterations \(iterations)")
            + (bufferSize == 65_536 ? "" : " --buffer-size \(bufferSize)")
    }

    private func kind(_ name: String) -> OperationKind? { OperationKind.allCases.first { "\($0)" == name } }
}

/// One line on the terminal, written over and over, on standard error.
enum Progress {
    static func show(_ step: SelfTest.Step) {
        let text =
            switch step {
            case .contract(let engine, let row): "\(engine): \(row.check.rawValue): \(row.check.title)"
            case .speed(let row): "\(row.engine): measured \(row.operation)"
            case .stream(let row): "\(row.engine): \(row.direction) through a ring"
            case .mode(let row): "\(row.engine): measured \(row.mode)"
            }
        write("\r\u{1b}[K" + String(text.prefix(100)))
    }

    static func clear() { write("\r\u{1b}[K") }

    private static func write(_ text: String) {
        // Progress is worth no error: what cannot be written is left out.
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// What `dmactl test --json` prints. `version` rises when a field changes its meaning or goes.
struct TestDocument: Encodable {
    let version = 1
    let passed: Bool
    let bytesVerified: UInt64
    let report: SelfTest.Report

    init(_ report: SelfTest.Report) {
        passed = report.passed
        bytesVerified = report.bytesVerified
        self.report = report
    }
}
