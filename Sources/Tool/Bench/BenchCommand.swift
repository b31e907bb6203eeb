// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMABench
import DMACore
import DMAEngineKit
import DMAReport
import DMAUnits
import FoundationEssentials
import Glibc

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure speed, latency and processor time over sizes, depths, threads, engines, operations and modes.",
        discussion: """
            Every option may be given several times; all combinations are measured, in turn with each other, and beside memcpy. \
            Files (the operations fromPeripheral and toPeripheral) are measured beside pread and pwrite too, on a file without a \
            name that is gone with the command. Without options: copies of five sizes on every engine, the transfer modes beside a \
            foreground task, and files of three sizes on the engines that take files.

            EXAMPLES
              dmactl bench
              dmactl bench --engine cpu --size 4KiB --size 1MiB --depth 1 --depth 32
              dmactl bench --operation xor --size 64KiB --threads 1 --threads 2
              dmactl bench --operation xor --sources 2 --size 4KiB --depth 32
              dmactl bench --size 4KiB --wait wait --rate 100MB --rate 1GB
              dmactl bench --matrix nodes --size 1MiB --cache cold
              dmactl bench --size 1MiB --seconds 10 --log speed.csv
              dmactl bench --mode burst --mode cycle-stealing:0.25 --size 1MiB
              dmactl bench --operation fromPeripheral --size 64KiB --wait wait
              dmactl bench --operation fromPeripheral --size 4KiB --access random \\
                --direct --directory /mnt/nvme --file-size 1GiB
              dmactl bench --html report.html
              dmactl bench --json > before.json; dmactl bench --compare before.json
              dmactl bench --config sweep.yaml
              dmactl bench --from before.json --html report.html

            EXIT CODES
              0    measured
              1    a measurement failed, or wrote a wrong byte; with --compare and
                   --fail-on-slower also: a row got slower
              64   the command line or the configuration is wrong
              66   a file cannot be read
              73   a file cannot be written
              130  stopped by ^C (143: SIGTERM, 129: SIGHUP); results are printed
            """)

    @Option(
        name: [.customLong("engine"), .customLong("device")],
        help: "Engine by name, from dmactl list, or a device by its address: model:edu, qtest:q35,edu. All engines by default.",
        completion: .custom { _, _, _ in Names.engines })
    var engine: [String] = []
    @Option(
        help: "Operation by name, from dmactl list. copy by default.",
        completion: .list(BenchOperation.allCases.map(\.rawValue)))
    var operation: [String] = []
    @Option(help: "Bytes in a transaction: 64, 4KiB, 1MiB.")
    var size: [String] = []
    @Option(help: "Transactions in flight on each channel.")
    var depth: [Int] = []
    @Option(help: "Channels, each with a thread of its own.")
    var threads: [Int] = []
    @Option(
        help: "burst, demand, or cycle-stealing:SHARE: at work for a share of the time.",
        completion: .list(["burst", "demand"] + ModeArgument.shares))
    var mode: [String] = []
    @Option(
        help: "How completions are waited for: poll, wait (an interrupt) or await (a suspended task).",
        completion: .list(CompletionWait.allCases.map(\.rawValue)))
    var wait: [String] = []
    @Option(
        help:
            "Bytes a second at most, over all threads: transactions are due by a schedule, and their latency counts from then.")
    var rate: [String] = []
    @Option(
        help: "nodes: from memory of each node to memory of each node; channels: of each engine while each other one runs.",
        completion: .list(BenchMatrix.allCases.map(\.rawValue)))
    var matrix: String?
    @Option(help: "Sources of XOR and PQ, 1 to 32; 4 by default.")
    var sources: Int?
    @Option(help: "Measurements of each point.")
    var repeats: Int?
    @Option(help: "Seconds of each measurement.")
    var seconds: Double?
    @Option(help: "Submissions for each ring of the doorbell; half of the depth by default.")
    var batch: Int?
    @Option(
        help: "warm, or cold: walk through more memory than the last-level cache holds.", completion: .list(["warm", "cold"]))
    var cache: String?
    @Option(help: "Processor to pin the threads to; several take turns.")
    var processor: [Int] = []
    @Option(help: "Where the file of a peripheral operation is made; TMPDIR or /tmp by default.", completion: .directory)
    var directory: String?
    @Option(help: "Bytes of that file, which the threads share; 64 MiB by default.")
    var fileSize: String?
    @Option(
        help: "sequential, or random: the order of the places in the file.", completion: .list(["sequential", "random"]))
    var access: String?
    @Flag(help: "Files past the page cache, where the file system lets them.")
    var direct = false
    @Option(help: "Read the plan from a YAML or JSON file instead.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var config: String?
    @Option(help: "Measure nothing: show an earlier run's JSON.", completion: .file(extensions: ["json"]))
    var from: String?
    @Option(help: "Compare with an earlier run's JSON.", completion: .file(extensions: ["json"]))
    var compare: String?
    @Flag(help: "With --compare: exit 1 where a row got slower.")
    var failOnSlower = false
    @Flag(help: "Print JSON; its schema is Schemas/bench-result.schema.json.")
    var json = false
    @Flag(help: "Print CSV, one line a row.")
    var csv = false
    @Flag(help: "Print tables in Markdown.")
    var markdown = false
    @Option(
        help: "Write the speed in each interval of each measurement into a CSV file.", completion: .file(extensions: ["csv"]))
    var log: String?
    @Option(help: "Seconds of an interval; a tenth of a measurement by default.")
    var logInterval: Double?
    @Option(help: "Write an HTML report: one file, to be opened offline.", completion: .file(extensions: ["html"]))
    var html: String?

    private var hasSweep: Bool {
        !(engine.isEmpty && operation.isEmpty && size.isEmpty && depth.isEmpty && threads.isEmpty && mode.isEmpty
            && wait.isEmpty
            && processor.isEmpty && rate.isEmpty) || matrix != nil || batch != nil || cache != nil || sources != nil || hasFiles
    }

    private var hasFiles: Bool { directory != nil || fileSize != nil || access != nil || direct }

    func validate() throws {
        if [json, csv, markdown].filter(\.self).count > 1 {
            throw ValidationError("--json, --csv or --markdown, one of them")
        }
        if logInterval != nil && log == nil { throw ValidationError("--log-interval wants --log FILE") }
        if let logInterval, !BenchConfiguration.intervalRange.contains(logInterval) {
            throw ValidationError("--log-interval is 0.001 to 3600")
        }
        if config != nil && (hasSweep || repeats != nil || seconds != nil) {
            throw ValidationError("--config has the whole plan: no other option of the plan beside it")
        }
        if from != nil && (hasSweep || config != nil || repeats != nil || seconds != nil) {
            throw ValidationError("--from measures nothing: no option of the plan beside it")
        }
        if failOnSlower && compare == nil { throw ValidationError("--fail-on-slower wants --compare FILE") }
        if let repeats, !(1...1000).contains(repeats) { throw ValidationError("--repeats is 1 to 1000") }
        if let seconds, !(0.001...3600).contains(seconds) { throw ValidationError("--seconds is 0.001 to 3600") }
        if let batch, !(1...32_768).contains(batch) { throw ValidationError("--batch is 1 to 32768") }
        if let sources, !(1...32).contains(sources) { throw ValidationError("--sources is 1 to 32") }
        for number in depth where !(1...32_768).contains(number) { throw ValidationError("--depth is 1 to 32768") }
        for number in threads where !(1...1024).contains(number) { throw ValidationError("--threads is 1 to 1024") }
        for number in processor where !Processors.allowed.contains(number) {
            let allowed = Processors.allowed.map(String.init).joined(separator: ", ")
            throw ValidationError("--processor \(number): this process may run on \(allowed)")
        }
        if config == nil { _ = try asked() }
        try Names.checkEngines(engine)
    }

    /// The plan that the options ask for.
    private func asked() throws -> BenchPlan {
        var plan = BenchPlan.standard
        if hasSweep {
            var sweep = BenchCase()
            sweep.name = "command line"
            sweep.engines = engine
            // What says how files are measured wants files.
            if operation.isEmpty, hasFiles { sweep.operations = [.fromPeripheral, .toPeripheral] }
            // As the number of sources wants operations that have several.
            if operation.isEmpty, sources != nil { sweep.operations = [.xor, .pq] }
            if !operation.isEmpty {
                sweep.operations = try operation.map { try choice($0, "operation", BenchOperation.allCases) }
            }
            if !wait.isEmpty { sweep.waits = try wait.map { try choice($0, "way to wait", CompletionWait.allCases) } }
            if !depth.isEmpty { sweep.depths = depth }
            if !threads.isEmpty { sweep.threads = threads }
            if !rate.isEmpty { sweep.rates = try rate.map { try bytes($0, "--rate", BenchConfiguration.rateRange) } }
            if let matrix { sweep.matrix = try choice(matrix, "matrix", BenchMatrix.allCases) }
            if !size.isEmpty {
                sweep.sizes = try size.map { try bytes($0, "--size", 1...(1 << 32)) }
            }
            if !mode.isEmpty {
                sweep.modes = try mode.map { text in
                    guard let mode = BenchMode(text: text) else {
                        throw ValidationError("--mode \(text): \(BenchMode.allowed)")
                    }
                    return mode
                }
            }
            sweep.settings.batch = batch
            if let sources { sweep.settings.sources = sources }
            sweep.settings.processors = processor
            sweep.settings.directory = directory
            sweep.settings.direct = direct
            if let fileSize { sweep.settings.fileSize = try bytes(fileSize, "--file-size", BenchConfiguration.fileRange) }
            if let access { sweep.settings.access = try choice(access, "order", BenchSettings.Access.allCases) }
            if let cache { sweep.settings.cache = try choice(cache, "cache", BenchSettings.Cache.allCases) }
            if sweep.modes.contains(where: \.isPaced) {
                sweep.settings.seconds = 0.3
                // A thread that polls has nothing to give to the task beside it.
                if wait.isEmpty { sweep.waits = [.wait] }
            }
            plan = BenchPlan(cases: [sweep])
            guard plan.mostPoints <= BenchPlan.pointLimit else {
                throw ValidationError("the options ask for more than \(BenchPlan.pointLimit) points: fewer of them")
            }
        }
        for index in plan.cases.indices {
            if let repeats { plan.cases[index].settings.repeats = repeats }
            if let seconds { plan.cases[index].settings.seconds = seconds }
            if log != nil {
                plan.cases[index].settings.interval = logInterval ?? max(plan.cases[index].settings.seconds / 10, 0.001)
                guard plan.cases[index].settings.hasFewIntervals else {
                    throw ValidationError("--log-interval: a measurement has at most \(BenchSettings.mostIntervals) intervals")
                }
            }
        }
        return plan
    }

    private func bytes(_ text: String, _ option: String, _ range: ClosedRange<Int>) throws -> Int {
        guard let bytes = ByteSize.parse(text, in: range) else {
            throw ValidationError(
                "\(option) \(text): \(ByteSize.exact(range.lowerBound)) to \(ByteSize.exact(range.upperBound)), as \(ByteSize.allowed)"
            )
        }
        return bytes
    }

    private func choice<Value: RawRepresentable>(_ text: String, _ what: String, _ values: [Value]) throws -> Value
    where Value.RawValue == String {
        guard let value = Value(rawValue: text) else {
            throw ValidationError(
                "no \(what) is called \"\(text)\"; there are \(values.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    func run() async throws {
        let earlier = try compare.map { try File.result($0) }
        // A report that cannot be written is worth knowing before the measurement.
        for path in [html, log].compactMap(\.self) { try File.checkWritable(path) }
        let signals = Signals()
        let result = if let from { try File.result(from) } else { try await measured(signals) }
        let comparison = earlier.map { Comparison(result, since: $0) }
        if json {
            print(try JSON.text(BenchDocument(result: result, comparison: comparison)))
        } else if csv {
            print(result.csv, terminator: "")
        } else {
            print(BenchTables(isMarkdown: markdown).text(result, comparison))
        }
        if let log {
            guard result.rows.contains(where: { $0.series != nil }) else {
                throw CommandFailure("cannot write \(log): the run has no time series. Measure it with --log", code: 64)
            }
            try File.write(result.seriesCSV, to: log)
        }
        if let html {
            try File.write(HTMLReport(result, comparison: comparison).text, to: html)
            if !json && !csv && !markdown { print("\nreport: \(html)") }
        }
        if let code = signals.exitCode { throw ExitCode(code) }
        if result.isEmpty {
            // Why one failed says more than why another was left out.
            let failed = result.rows.first { !$0.point.isBaseline && $0.failure != nil }
            let reason = failed.map { ($0.point, $0.failure ?? "") } ?? result.skipped.first.map { ($0.point, $0.reason) }
            let why = reason.map { ": \(BenchTables.name($0.0)): \($0.1)" } ?? ""
            throw CommandFailure("no engine was measured\(why). Cure: see dmactl list for what each engine can do", code: 1)
        }
        if result.rows.contains(where: \.hasFailed) || (failOnSlower && comparison?.hasRegressed ?? false) { throw ExitCode(1) }
    }
}

extension BenchCommand {
    private func measured(_ signals: Signals) async throws -> BenchResult {
        var plan: BenchPlan
        if let config {
            do {
                plan = try BenchConfiguration.plan(try File.text(config, limit: 1 << 20), file: config)
            } catch let error as ConfigurationError {
                throw CommandFailure("\(error)", code: 64)
            }
            try Names.checkEngines(plan.cases.flatMap(\.engines))
        } else {
            plan = try asked()
        }
        defer { NamedDevices.close() }
        for index in plan.cases.indices { plan.cases[index].engines = try NamedDevices.open(plan.cases[index].engines) }
        var runner = BenchRunner(plan, on: try ToolSystem.make())
        try checkThreads(plan)
        let (status, time) = (StatusLine(), TimeLeft())
        let result = try await signals.stopping(status) { stop in
            runner.stop = stop
            return try await runner.run(command: CommandLine.shown) { step in
                status.show(
                    "\(time.text(step.done, of: step.all))  \(BenchTables.name(step.point)): \(Figures.rate(step.bytesPerSecond)) GB/s"
                )
            }
        }
        signals.say(after: result.stopped.map { "\($0.made) of \($0.planned) measurements" } ?? "the last measurement")
        return result
    }
}

extension BenchCommand {
    /// Refuses more threads than any engine of the plan has channels: each thread has one.
    private func checkThreads(_ plan: BenchPlan) throws {
        let listings = ToolSystem.forNames.engines.filter { $0.offer.absence == nil }
        for sweep in plan.cases where !sweep.skip {
            let able = listings.filter { sweep.engines.isEmpty || sweep.engines.contains($0.offer.name) }
            guard let most = able.map(\.offer.channels).max(), let least = sweep.threads.min(), least > most else { continue }
            let channels = able.map { "\($0.offer.name) has \($0.offer.channels)" }.joined(separator: ", ")
            throw ValidationError("--threads \(least): each thread has a channel of its own, and \(channels): \(most) at most")
        }
    }
}

/// What `dmactl bench --json` prints: the result, and beside it the comparison where one was asked for.
struct BenchDocument: Encodable {
    let result: BenchResult
    let comparison: Comparison?

    private enum Key: String, CodingKey {
        case comparison
    }

    func encode(to encoder: any Encoder) throws {
        try result.encode(to: encoder)
        guard let comparison else { return }
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(comparison, forKey: .comparison)
    }
}
