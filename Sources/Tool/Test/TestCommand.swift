// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMAConformance
import DMACore
import DMAEngineKit
import DMASelfTest
import Glibc

struct TestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Move data through every engine in every way, verify each byte, show speed, latency and processor time.",
        discussion: """
            Without options: everything, in about a minute. Options have the names and \
            meanings of the kernel's dmatest, where it has them. A failure prints the \
            command that repeats it.

            EXAMPLES
              dmactl test
              dmactl test --engine cpu --operation copy --operation xor
              dmactl test --seed 42 --iterations 200
              dmactl test --norandom --transfer-size 4KiB --xor-sources 8
              dmactl test --duration 0         again and again, until ^C
              dmactl test --device qtest:q35,edu
              dmactl test --faults
              dmactl test --tap > result.tap && prove -e cat result.tap
              dmactl test --json > result.json

            EXIT CODES
              0    every check passed
              1    a check failed, or an engine could not be tested
              64   the command line is wrong, or leaves nothing to test
              73   standard output cannot be written
              130  stopped by ^C (143: SIGTERM, 129: SIGHUP); what was done is printed
            """)

    @Option(help: "Seed of all random numbers; one is chosen and shown where it is not given.")
    var seed: UInt64?
    @Option(
        name: [.customLong("engine"), .customLong("device")],
        help: """
            Engine to test, dmatest's device, or a device by its address: model:edu, qtest:q35,edu. May be given several times. All engines \
            by default.
            """,
        completion: .custom { _, _, _ in Names.engines })
    var engine: [String] = []
    @Option(help: "Only this channel, by its name: cpu/0.", completion: .custom { _, _, _ in Names.channels })
    var channel: String?
    @Option(
        help: "Operation to test, by its name in dmactl list; may be given several times. All by default.",
        completion: .list(Names.operations))
    var operation: [String] = []
    @Option(
        name: [.customLong("test-buf-size"), .customLong("buffer-size")], help: "Bytes of the largest transfer.",
        transform: ByteCount.init(argument:))
    var testBufSize = ByteCount(65_536)
    @Option(
        help: "Bytes of every transfer; random, up to --test-buf-size, where it is not given.",
        transform: ByteCount.init(argument:))
    var transferSize: ByteCount?
    @Option(help: "Offsets and lengths are multiples of 2 to this power.")
    var alignment: Int?
    @Flag(help: "No random offsets and lengths: all begin at 0 and are as long as they can be.")
    var norandom = false
    @Flag(help: "Compare no data: speeds alone, and no contract.")
    var noverify = false
    @Option(help: "Sources of XOR; random in the checks, 4 in the tables, where it is not given.")
    var xorSources: Int?
    @Option(help: "Sources of P and Q; as with XOR.")
    var pqSources: Int?
    @Option(help: "Iterations of each check of the contract.")
    var iterations = 20
    @Option(
        help: """
            Channels of an engine with transfers in flight at the same time, while throughput is measured. As many threads as there are \
            processors look after them: an engine that works in the poll is no faster for more.
            """)
    var maxChannels = 1
    @Option(
        name: [.customLong("threads-per-chan"), .customLong("depth")],
        help: "Transactions in flight on a channel. dmatest has a thread for each; a channel here belongs to one thread.")
    var threadsPerChan = 32
    @Flag(help: "Look for completions without ever sleeping; otherwise sleep for the interrupt after 50 us in vain.")
    var polled = false
    @Option(
        parsing: .unconditional,
        help: "Milliseconds to wait for a completion, before that counts as a failure; below 0 for ever.")
    var timeout = 10_000
    @Flag(help: "Spoil what engines report, and see that nothing is lost by it.")
    var faults = false
    @Option(help: "Seconds for everything, about; 0: again and again with other random numbers, until a signal or a failure.")
    var duration = 60.0
    @Flag(help: "Each check of the contract, and why some do not apply; with --announce.")
    var verbose = false
    @Flag(help: "Name each check on standard error before it runs, so that a crash has a name.")
    var announce = false
    @Flag(help: "Print JSON and nothing else; its schema is Schemas/test.schema.json.")
    var json = false
    @Flag(help: "Print TAP version 13 and nothing else.")
    var tap = false

    func validate() throws {
        func check(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
            guard let value, !range.contains(value) else { return }
            throw ValidationError("--\(name) is \(range.lowerBound) to \(range.upperBound)")
        }
        try check("test-buf-size", testBufSize.bytes, 64...(1 << 30))
        try check("transfer-size", transferSize?.bytes, 1...testBufSize.bytes)
        try check("alignment", alignment, 0...12)
        try check("xor-sources", xorSources, 1...255)
        try check("pq-sources", pqSources, 1...32)
        try check("iterations", iterations, 1...1_000_000)
        try check("max-channels", maxChannels, 1...1024)
        try check("threads-per-chan", threadsPerChan, 1...4096)
        if timeout >= 0 { try check("timeout", timeout, 1...86_400_000) }
        guard (0...86_400).contains(duration) else { throw ValidationError("--duration is 0 to 86400 seconds") }
        if json && tap { throw ValidationError("--json or --tap, not both") }
        try Names.checkOperations(operation)
    }

    func run() async throws {
        var command = self
        defer { NamedDevices.close() }
        command.engine = try NamedDevices.open(engine)
        let system = try ToolSystem.make()
        var test = try command.test(on: system)
        let (status, signals) = (StatusLine(), Signals())
        var rounds = 0
        let report = try await signals.stopping(status) { stop in
            test.stop = stop
            var report = try await round(test, on: system, status)
            // Until a signal: each round with random numbers of its own, which its report names.
            while duration == 0, report.passed, !stop.isStopped {
                rounds += 1
                test.seed &+= 1
                report = try await round(test, on: system, status)
            }
            return report
        }
        let before = rounds > 0 ? "\(rounds) whole rounds, and in the next " : ""
        signals.say(after: before + TestProgress.made(report))
        let outcome = try outcome(report)
        // The contract's rules are checked by breaking some of them: then a report is no failure.
        if operation.isEmpty { _ = RootCommand.noteReports() }
        print(outcome.text, terminator: outcome.text.hasSuffix("\n") ? "" : "\n")
        if let code = signals.exitCode { throw ExitCode(code) }
        if !outcome.passed { throw ExitCode(1) }
    }

    /// The whole test once, with its progress shown.
    private func round(_ test: SelfTest, on system: DMASystem, _ status: StatusLine) async throws -> SelfTest.Report {
        let (all, time) = (steps(test, on: system), TimeLeft())
        var done = 0
        return try await test.run(on: system) { step in
            if case .starting = step {
                if verbose || announce { Terminal.note("dmactl: \(TestProgress.text(step))\n") }
            } else {
                done += 1
            }
            status.show("\(time.text(done, of: all))  \(TestProgress.text(step))")
        }
    }

    /// How many steps a round has, about: checks of the contract, operations to be measured, modes and rings.
    private func steps(_ test: SelfTest, on system: DMASystem) -> Int {
        let checks = operation.isEmpty ? ConformanceCheck.allCases.count : operation.count
        return system.engines.filter { $0.offer.absence == nil && test.engines?.contains($0.offer.name) ?? true }.reduce(0) {
            let kinds = $1.offer.capabilities.operations.kinds.count { test.operations?.contains($0) ?? true }
            return $0 + (noverify ? 0 : checks) + kinds + (faults ? InjectedFault.allCases.count : 0)
        }
    }

    /// What is asked for, of a system that has it.
    func test(on system: DMASystem) throws -> SelfTest {
        let test = selfTest(try engines(system), on: system)
        try checkSources(test, on: system)
        try checkMemory(test, on: system)
        return test
    }

    /// What to print of a report.
    func outcome(_ report: SelfTest.Report) throws -> (passed: Bool, text: String) {
        guard !report.isEmpty else {
            throw ValidationError("nothing to test: no engine that was asked for has \(operation.joined(separator: " or "))")
        }
        let again =
            (Sanitizer.isEnabled ? "DMA_SANITIZE=1 " : "") + "dmactl " + arguments(seed: report.seed).joined(separator: " ")
        if json { return (report.passed, try JSON.text(TestDocument(report, again: again))) }
        if tap { return (report.passed, TAP.text(report, again: again)) }
        let text = TestTables.text(report, verbose: verbose)
        return (report.passed, report.hasFailed ? text + "\n\nto repeat: \(again)" : text)
    }

    /// The names asked for; nil for all.
    private func engines(_ system: DMASystem) throws -> Set<String>? {
        let listings = system.engines
        for name in engine where !listings.contains(where: { $0.offer.name == name }) {
            let names = listings.map(\.offer.name).joined(separator: ", ")
            throw ValidationError("no engine is called \"\(name)\"; there are \(names)")
        }
        guard let channel else { return engine.isEmpty ? nil : Set(engine) }
        guard let listing = listings.first(where: { $0.channelNames.contains(channel) }) else {
            let names = listings.compactMap(\.channelNames.first).joined(separator: ", ")
            throw ValidationError("no channel is called \"\(channel)\"; there are \(names) …")
        }
        guard engine.isEmpty || engine.contains(listing.offer.name) else {
            throw ValidationError("--channel \(channel) is of the engine \(listing.offer.name), which --engine leaves out")
        }
        return [listing.offer.name]
    }

    /// Refuses more sources than any tested engine takes, and says where an engine has less than is asked for.
    private func checkSources(_ test: SelfTest, on system: DMASystem) throws {
        let listings = system.engines.filter { $0.offer.absence == nil && test.engines?.contains($0.offer.name) ?? true }
        for (option, asked, kinds) in [
            ("--xor-sources", xorSources, [OperationKind.xor, .xorValidate]), ("--pq-sources", pqSources, [.pq, .pqValidate]),
        ] {
            let able = listings.filter { listing in kinds.contains { listing.offer.capabilities.operations.kinds.contains($0) }
            }
            guard let asked, let most = able.map(\.offer.capabilities.maximumSources).max(), asked > most else { continue }
            throw ValidationError("\(option) \(asked): \(most) is the most that an engine here takes (dmactl list)")
        }
        for listing in listings {
            let (name, channels, depth) = (listing.offer.name, listing.offer.channels, listing.offer.capabilities.depth)
            if maxChannels > channels {
                Terminal.note("dmactl: --max-channels \(maxChannels): \(name) has \(channels), and is tested with those\n")
            }
            if threadsPerChan > depth {
                Terminal.note(
                    "dmactl: --threads-per-chan \(threadsPerChan): \(name) takes \(depth) at most, and is tested with those\n")
            }
        }
    }

    /// Refuses what this machine's memory cannot hold, where the kernel would end some process or other.
    private func checkMemory(_ test: SelfTest, on system: DMASystem) throws {
        let listings = system.engines.filter { test.engines?.contains($0.offer.name) ?? true }
        let inFlight = listings.reduce(1) { max($0, min(threadsPerChan, $1.offer.capabilities.depth)) }
        let parity: Set<OperationKind> = [.xor, .xorValidate, .pq, .pqValidate]
        let hasParity = test.operations.map { !parity.isDisjoint(with: $0) } ?? true
        let regions = 2 + (hasParity ? max(xorSources ?? Survey.sources, pqSources ?? Survey.sources) : 0)
        // Each region, what it holds, and what it must hold afterwards.
        let (needed, overflow) = (testBufSize.bytes * 3).multipliedReportingOverflow(by: regions * inFlight * maxChannels)
        // What is there, and what a container's control group leaves of it.
        let budget = MemoryBudget.current
        guard !overflow, UInt64(needed) <= budget.available else {
            throw ValidationError(
                """
                up to \(overflow ? "2^63 B" : Figures.bytes(UInt64(needed))) of memory for transfers of \(Figures.bytes(UInt64(testBufSize.bytes))), \
                \(inFlight) in flight on \(maxChannels) channels; \(budget.sentence(Figures.bytes)). Cure: a smaller \
                --test-buf-size, --threads-per-chan or --max-channels
                """)
        }
    }

    private func selfTest(_ engines: Set<String>?, on system: DMASystem) -> SelfTest {
        var test = SelfTest(seed: seed ?? UInt64.random(in: 1...999_999_999))
        test.iterations = iterations
        test.bytes = testBufSize.bytes
        test.depth = threadsPerChan
        test.engines = engines
        test.operations = operation.isEmpty ? nil : Set(operation.compactMap(OperationKind.init(name:)))
        test.choice.xorSources = xorSources
        test.choice.pqSources = pqSources
        test.choice.transferBytes = transferSize?.bytes
        test.choice.alignment = alignment.map { 1 << $0 }
        test.choice.isRandom = !norandom
        test.choice.verifies = !noverify
        test.choice.polls = polled
        test.channels = maxChannels
        test.channel = channel.flatMap { $0.split(separator: "/").last.flatMap { Int($0) } }
        test.patience = timeout < 0 ? .max / 8 : Int64(timeout) * 1_000_000
        test.injectsFaults = faults
        // Half of the time is for the measurements, each of which gets as much; the contract takes what it takes, up to the rest.
        let listings = system.engines.filter { $0.offer.absence == nil && engines?.contains($0.offer.name) ?? true }
        let measured = listings.reduce(0) { sum, listing in
            let kinds = listing.offer.capabilities.operations.kinds
            return sum + kinds.count { test.operations?.contains($0) ?? true } + 3
        }
        let seconds = duration == 0 ? 60 : duration
        test.duration = Int64(seconds * 0.5e9) / Int64(max(measured, 1))
        test.contractDuration = Int64(max(seconds, 20) * 1e9) / Int64(max(listings.count, 1))
        return test
    }

    /// The arguments of a run that does the same again.
    func arguments(seed: UInt64) -> [String] {
        var words = ["test", "--seed", "\(seed)"]
        func add<Value: Equatable>(_ name: String, _ value: Value?, unless usual: Value? = nil) {
            if let value, value != usual { words += ["--\(name)", "\(value)"] }
        }
        for name in engine { add("engine", name) }
        add("channel", channel)
        for name in operation { add("operation", name) }
        add("test-buf-size", testBufSize.bytes, unless: 65_536)
        add("transfer-size", transferSize?.bytes)
        add("alignment", alignment)
        add("xor-sources", xorSources)
        add("pq-sources", pqSources)
        add("iterations", iterations, unless: 20)
        add("max-channels", maxChannels, unless: 1)
        add("threads-per-chan", threadsPerChan, unless: 32)
        add("timeout", timeout, unless: 10_000)
        // A round of an endless test is one of a minute.
        add("duration", duration == 0 ? 60 : duration, unless: 60)
        for (name, isSet) in [("norandom", norandom), ("noverify", noverify), ("polled", polled), ("faults", faults)]
        where isSet {
            words.append("--\(name)")
        }
        return words
    }
}

/// What a step of a test is called while it goes on, and how far one was that was stopped.
enum TestProgress {
    static func made(_ report: SelfTest.Report) -> String {
        let checks = report.contracts.reduce(0) { $0 + $1.rows.count - $1.counts.notRun }
        let rows = report.speeds.count + report.modes.count + report.streams.count + report.faults.count
        return "\(checks) checks of the contract and \(rows) measurements"
    }

    static func text(_ step: SelfTest.Step) -> String {
        switch step {
        case .starting(let engine, let check): "\(engine): \(check.rawValue): \(check.title)"
        case .contract(let engine, let row): "\(engine): \(row.check.rawValue) is done"
        case .speed(let row): "\(row.engine): measured \(row.operation)"
        case .stream(let row): "\(row.engine): \(row.direction) through a ring"
        case .mode(let row): "\(row.engine): measured \(row.mode)"
        case .fault(let row): "\(row.engine): \(row.fault.title)"
        }
    }
}

/// What `dmactl test --json` prints. `version` rises when a field changes its meaning or goes; its schema is Schemas/test.schema.json.
struct TestDocument: Encodable {
    let version = 2
    let passed: Bool
    let bytesVerified: UInt64
    /// The command that does the same again.
    let `repeat`: String
    let report: SelfTest.Report

    init(_ report: SelfTest.Report, again: String) {
        passed = report.passed
        bytesVerified = report.bytesVerified
        self.repeat = again
        self.report = report
    }
}
