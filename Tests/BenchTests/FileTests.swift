// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import DMATestSupport
import Foundation
import Testing

@testable import DMABench

/// An engine that takes files, moves at once what it is told, and does one thing wrong.
struct FileEngine: ~Copyable, Engine {
    var addressing: EngineAddressing { .cpu }
    enum Fault: String, Sendable, CaseIterable {
        case none
        case takesNoFile
        /// Says that all is done.
        case movesNothing
        /// Leaves the last byte out.
        case leavesOne
        /// Moves from or to the next place.
        case movesElsewhere
        /// Reports the last byte as not moved, and is right.
        case isShort
        /// Fails after a while.
        case failsLate
    }

    let fault: Fault
    private var file: Int32 = -1
    private var done: [Completion] = []
    private var count = 0

    init(_ fault: Fault) { self.fault = fault }
    deinit { if file >= 0 { close(file) } }

    static var capabilities: Capabilities {
        Capabilities(name: "files", implementation: "pread and pwrite", operations: [.peripheral], depth: 64)
    }
    var capabilities: Capabilities { Self.capabilities }

    mutating func attach(_ peripheral: PeripheralFile) throws(DMAError) -> UInt32 {
        if fault == .takesNoFile { throw DMAError(.notPeripheral) }
        file = dup(peripheral.descriptor)
        return 7
    }
    mutating func detach(_ number: UInt32) throws(DMAError) {
        close(file)
        file = -1
    }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        count += 1
        let reads = descriptor.destinationCount > 0
        let segment = reads ? descriptor.destinationSegment(0) : descriptor.sourceSegment(0)
        var (bytes, place) = (Int(segment.count), Int(descriptor.place.position ?? 0))
        #expect(descriptor.place.number == 7)
        if fault == .leavesOne || fault == .isShort { bytes -= 1 }
        if fault == .movesElsewhere { place += bytes }
        // The channel keeps the memory until this completion is taken.
        let memory = unsafe UnsafeMutableRawPointer(bitPattern: UInt(segment.address))
        if fault != .movesNothing {
            let moved = unsafe reads ? pread(file, memory, bytes, place) : pwrite(file, memory, bytes, place)
            #expect(moved == bytes || fault == .movesElsewhere)
        }
        let fails = fault == .failsLate && count > 100
        done.append(Completion(tag: tag, status: fails ? .failed : .complete, residue: fault == .isShort ? 1 : 0))
        return .accepted
    }
    mutating func issuePending() {}
    mutating func next() -> Completion? { done.isEmpty ? nil : done.removeFirst() }
    mutating func terminate() { done.removeAll() }
    mutating func quiesce(by deadline: Deadline) -> Bool { true }
}

struct FileProvider: EngineProvider {
    let fault: FileEngine.Fault
    func probe() -> [EngineOffer] { [EngineOffer(name: "files", channels: 4, capabilities: FileEngine.capabilities)] }
    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in AnyEngine(FileEngine(fault)) }
    }
}

@Suite("Files in benchmarks", .serialized)
struct FileTests {
    /// An empty folder, which is empty again at the end.
    func inFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dma-bench-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    func plan(_ folder: String?, _ change: (inout BenchCase) -> Void = { _ in }) -> BenchPlan {
        var sweep = BenchCase()
        sweep.name = "files"
        sweep.operations = [.fromPeripheral, .toPeripheral]
        sweep.sizes = [4096]
        sweep.depths = [4]
        sweep.settings.repeats = 2
        sweep.settings.seconds = 0.005
        sweep.settings.warmup = 0
        sweep.settings.directory = folder
        sweep.settings.fileSize = 1 << 20
        change(&sweep)
        return BenchPlan(cases: [sweep])
    }

    @Test(
        "io_uring, pread and pwrite beside memcpy; every byte verified, no name left behind",
        arguments: BenchSettings.Access.allCases, [false, true])
    func measures(_ access: BenchSettings.Access, _ direct: Bool) async throws {
        try await inFolder { folder in
            let plan = plan(folder) {
                $0.sizes = [7, 1000, 4096, 65_536]
                $0.threads = [1, 2]
                $0.settings.access = access
                $0.settings.direct = direct
            }
            var seen = 0
            let result = try await BenchRunner(plan, on: DMASystem()).run { _ in
                seen += 1
                // The file has no name while it is used either.
                let names = try? FileManager.default.contentsOfDirectory(atPath: folder)
                #expect(names == [])
            }
            #expect(seen == result.rows.count * 2)
            for operation in plan.cases[0].operations {
                let call = operation == .fromPeripheral ? "pread" : "pwrite"
                for engine in [call, "io_uring"] {
                    let rows = result.rows.filter { $0.point.operation == operation && $0.point.engine == engine }
                    #expect(rows.count == 8)
                    for row in rows {
                        #expect(!row.hasFailed, "\(row.point) \(row.failure ?? "")")
                        #expect(row.bytesPerSecond.count == 2 && row.bytesPerSecond.allSatisfy { $0 > 0 })
                        #expect(row.bytesVerified > 0)
                        #expect(row.latency != nil)
                        #expect(row.submitNanoseconds.isEmpty == row.point.isBaseline)
                        let isUnaligned = row.point.bytes % 4096 != 0
                        let hasNote = row.notes.contains { $0.contains("not aligned for O_DIRECT") }
                        #expect(hasNote == (direct && isUnaligned) || row.notes.contains { $0.contains("refuses O_DIRECT") })
                    }
                }
            }
            #expect(result.rows.count(where: \.point.isMemcpy) == 8)
            // The CPU's engines have no peripherals here, and that is said.
            #expect(Set(result.skipped.map(\.point.engine)) == ["cpu", "cpu-threads"])
            #expect(result.skipped.allSatisfy { $0.reason.hasPrefix("the engine has no ") })
        }
    }

    @Test("each way to wait and a paced mode move files too", arguments: CompletionWait.allCases)
    func ways(_ wait: CompletionWait) async throws {
        let plan = plan(nil) {
            $0.engines = ["io_uring"]
            $0.sizes = [65_536]
            $0.waits = [wait]
            $0.modes = [.burst, .cycleStealing(0.5), .demand]
            $0.settings.seconds = 0.03
        }
        let result = try await BenchRunner(plan, on: DMASystem()).run()
        for row in result.rows { #expect(!row.hasFailed, "\(row.point) \(row.failure ?? "") \(row.bytesWrong)") }
        #expect(result.rows.count { $0.point.engine == "io_uring" } == (wait == .await ? 2 : 6))
        #expect(result.rows.filter { !$0.point.isMemcpy }.allSatisfy { $0.bytesVerified > 0 })
    }

    @Test("an engine that does not move what it says is found out", arguments: FileEngine.Fault.allCases)
    func faults(_ fault: FileEngine.Fault) async throws {
        try await inFolder { folder in
            let plan = plan(folder) { $0.threads = [1, 2] }
            let result = try await BenchRunner(plan, on: DMASystem(providers: [FileProvider(fault: fault)])).run()
            let rows = result.rows.filter { $0.point.engine == "files" }
            #expect(rows.count == (fault == .takesNoFile ? 0 : 4))
            for row in rows {
                switch fault {
                case .none: #expect(!row.hasFailed && row.bytesVerified > 0, "\(row.failure ?? "")")
                case .isShort, .failsLate: #expect(row.failure?.contains("engineFailed") == true)
                default:
                    #expect(row.failure == nil)
                    #expect(row.bytesWrong > 0 && row.bytesWrong <= row.bytesVerified)
                    // One byte of each block, and no more.
                    if fault == .leavesOne { #expect(row.bytesWrong * 4096 <= row.bytesVerified) }
                }
            }
            if fault == .takesNoFile {
                #expect(result.skipped.count == 4)
                #expect(
                    result.skipped.allSatisfy {
                        $0.reason.hasPrefix("the engine takes no file: ") && $0.reason.contains("[notPeripheral")
                    })
            }
            // A file that fails or reports a wrong size affects no other.
            for row in result.rows where row.point.isBaseline { #expect(!row.hasFailed, "\(row.point)") }
        }
    }

    @Test("what cannot be had is refused with what was asked and what there is")
    func refusals() async throws {
        let system = DMASystem(providers: [FileProvider(fault: .none)])
        let large = try await BenchRunner(plan(nil) { $0.settings.fileSize = 1 << 40 }, on: system).run()
        for row in large.rows where !row.point.isMemcpy {
            #expect(row.failure?.contains("a file of 1024 GiB was asked for, ") == true)
            #expect(row.failure?.contains(" MiB are free; choose a smaller file or another directory") == true)
        }
        let nowhere = try await BenchRunner(plan("/nonexistent"), on: system).run()
        let failures = nowhere.rows.compactMap(\.failure)
        #expect(failures.count == 4)
        #expect(failures.allSatisfy { $0.hasPrefix("/nonexistent: no file can be made there: No such file") })
        #expect(nowhere.rows.allSatisfy { $0.point.isMemcpy || $0.hasFailed })
        let small = try await BenchRunner(
            plan(nil) {
                $0.settings.fileSize = 4096
                $0.threads = [2]
            }, on: system
        ).run()
        #expect(small.rows.allSatisfy { $0.point.isMemcpy })
        #expect(small.skipped.allSatisfy { $0.reason == "a thread's part of the file of 4 KiB is 2 KiB" })
        #expect(small.skipped.count == 4)
    }

    @Test("a walk comes to each place once before it comes to one again, and two parts share no byte")
    func walks() {
        var random = Seeded("walks")
        for access in BenchSettings.Access.allCases {
            for places in [1, 2, 3, 64, 1000] + (0..<20).map({ _ in Int.random(in: 1...5000, using: &random) }) {
                var walk = PlaceWalk(base: 4096, bytes: 24, places: places, access: access, salt: 1)
                let first = (0..<places).map { _ in walk.step() }
                #expect(first.sorted() == (0..<places).map { 4096 + 24 * $0 }, "\(access) \(places)")
                #expect((0..<places).map { _ in walk.step() } == first)
                #expect(walk.steps == 2 * places)
                // From 64 places on a random order has no long runs.
                let runs = zip(first, first.dropFirst()).count { $1 == $0 + 24 }
                if places >= 64 {
                    #expect(access == .sequential ? runs == places - 1 : runs < places / 8, "\(places): \(runs)")
                }
            }
        }
    }

    @Test("each byte that is not the pattern's is counted")
    func patterns() {
        var random = Seeded("patterns")
        for _ in 0..<200 {
            let (place, count) = (Int.random(in: 0...5000, using: &random), Int.random(in: 1...100, using: &random))
            var bytes = [UInt8](repeating: 0, count: count)
            unsafe bytes.withUnsafeMutableBytes { buffer in
                var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
                FilePattern.fill(&span, from: place, salt: 3)
            }
            func wrong(_ place: Int, _ salt: UInt64) -> Int {
                unsafe bytes.withUnsafeBytes { unsafe FilePattern.wrong(RawSpan(_unsafeBytes: $0), from: place, salt: salt) }
            }
            #expect(wrong(place, 3) == 0)
            let spoiled = Set(
                (0..<Int.random(in: 1...5, using: &random)).map { _ in Int.random(in: 0..<count, using: &random) })
            for index in spoiled { bytes[index] ^= UInt8.random(in: 1...255, using: &random) }
            #expect(wrong(place, 3) == spoiled.count)
            for index in spoiled { bytes[index] = 0 }
            if count >= 32 { #expect(wrong(place + 8, 3) > count / 2 && wrong(place, 4) > count / 2) }
        }
    }

    @Test("a block that was meant for another place, or that another measurement wrote, is not the one that belongs here")
    func marks() {
        func block(_ bytes: Int, _ place: Int, salt: UInt64) -> [UInt8] {
            let walk = PlaceWalk(base: 0, bytes: bytes, places: 8, access: .sequential, salt: salt)
            var block = [UInt8](repeating: 0, count: bytes)
            unsafe block.withUnsafeMutableBytes { buffer in
                var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
                walk.fill(&span)
                walk.mark(&span, place * bytes)
            }
            return block
        }
        for bytes in [4, 7, 8, 15, 16, 17, 24, 1000, 4096] {
            let here = block(bytes, 1, salt: 5)
            let (there, earlier) = (block(bytes, 2, salt: 5), block(bytes, 1, salt: 6))
            #expect(here == block(bytes, 1, salt: 5) && here != there && here != earlier, "\(bytes)")
            // Half a block from here and half from there is neither.
            let last = bytes / 8 * 8 - 8
            if bytes >= 16 { #expect(here[last..<(last + 8)] != there[last..<(last + 8)], "\(bytes)") }
            if bytes >= 24 { #expect(here[8..<last] == there[8..<last] && (bytes < 32 || here[8..<last] != earlier[8..<last])) }
        }
    }

    @Test("the names of operations are those of the kinds, but for the two directions of peripherals")
    func kinds() {
        for operation in BenchOperation.allCases {
            #expect("\(operation.kind)" == (operation.isPeripheral ? "peripheral" : operation.rawValue))
        }
        #expect(OperationKind(name: "nothing") == nil)
    }
}

@Suite("Nodes in benchmarks", .serialized)
struct NodeTests {
    /// What the kernel says of the calling thread's policy for its heap or stack; nil where it keeps no such file.
    static func policies() -> Set<String>? {
        guard let text = SmallFile.text("/proc/thread-self/numa_maps") else { return nil }
        return Set(text.split(separator: "\n").compactMap { $0.split(separator: " ").dropFirst().first.map(String.init) })
    }

    @Test(
        "memory of node 0 is asked of the kernel while it is touched, and of none afterwards",
        .enabled(
            if: NodeTests.policies() != nil,
            "no /proc/thread-self/numa_maps, which shows a thread's policy; run on a kernel with CONFIG_NUMA, with /proc mounted"
        ))
    func applied() async throws {
        let found = await withCheckedContinuation { (answer: CheckedContinuation<[Set<String>?], Never>) in
            Thread {
                let before = Self.policies()
                try? NodeMemory.prefer(0)
                let during = Self.policies()
                try? NodeMemory.prefer(nil)
                answer.resume(returning: [before, during, Self.policies()])
            }.start()
        }
        #expect(found[0] == ["default"] && found[2] == ["default"])
        #expect(found[1] == ["bind:0"])
    }

    @Test("node 0 is measured; a node that is not there is refused with a sentence, and nothing is measured on it")
    func nodes() async throws {
        for (node, isThere) in [(0, true), (63, false), (1023, false)] {
            for isSource in [true, false] {
                var sweep = BenchCase()
                sweep.engines = ["cpu"]
                sweep.sizes = [4096]
                sweep.settings.repeats = 1
                sweep.settings.seconds = 0.002
                if isSource { sweep.settings.sourceNode = node } else { sweep.settings.destinationNode = node }
                let result = try await BenchRunner(BenchPlan(cases: [sweep]), on: DMASystem()).run()
                #expect(result.rows.count == 2)
                for row in result.rows {
                    if isThere {
                        #expect(!row.hasFailed, "\(row.failure ?? "")")
                    } else {
                        #expect(
                            row.failure?.hasPrefix("memory of node \(node): the kernel refuses it: Invalid argument") == true)
                        #expect(row.bytesPerSecond.isEmpty)
                    }
                }
            }
        }
    }
}
