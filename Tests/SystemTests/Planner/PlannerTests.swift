// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMA

@Suite("The planner's rules")
struct PlannerTests {
    /// Two files of one ext4, `size` bytes, `cached` of them in the cache; 8 GiB free.
    private func files(_ size: UInt64, cached: UInt64 = 0, fileSystem: UInt64 = 0xef53) -> CopyFacts {
        var facts = CopyFacts()
        facts.source = CopyFacts.Side(
            kind: .regular, size: size, data: size, cachedBytes: cached, directAlignment: 4096, device: 7,
            fileSystem: fileSystem,
            largestRequest: 4 << 20)
        facts.target = CopyFacts.Side(kind: .regular, directAlignment: 4096, device: 7, fileSystem: fileSystem)
        facts.freeMemory = 8 << 30
        facts.lockable = .max
        facts.engine = "io_uring"
        return facts
    }

    private func plan(_ facts: CopyFacts, _ change: (inout CopyOptions) -> Void = { _ in }) throws -> CopyPlan {
        var options = CopyOptions()
        change(&options)
        return try CopyPlanner.plan(facts, options)
    }

    @Test("a large cold file goes past the cache, with transfers in flight")
    func largeCold() throws {
        let plan = try plan(files(4 << 30))
        #expect(plan.path == .engine && plan.engine == "io_uring" && plan.source == .direct && plan.target == .direct)
        #expect(plan.chunk == 1 << 20 && plan.depth >= 8 && plan.registered && plan.preallocates && plan.flushes)
    }

    @Test("what is in the cache already is read there")
    func cached() throws {
        let plan = try plan(files(4 << 30, cached: 4 << 30))
        #expect(plan.source == .buffered && plan.target == .direct && plan.path == .engine)
        let loose = try self.plan(files(1 << 30, cached: 1 << 30)) { $0.flushes = false }
        #expect(loose.source == .buffered && loose.target == .buffered && loose.path == .readWrite && !loose.flushes)
    }

    @Test("what is in the cache is read and written; a server copies by itself")
    func small() throws {
        #expect(try plan(files(1000)).path == .readWrite)
        #expect(try plan(files(5 << 20)).path == .readWrite)
        #expect(try plan(files(5 << 20, fileSystem: 0x6969)).path == .inKernel)
        #expect(try plan(files(5 << 20, fileSystem: 0x6969)) { $0.reflink = .never }.path == .readWrite)
        var facts = files(5 << 20)
        facts.target.device = 8
        #expect(try plan(facts).path == .readWrite)
    }

    @Test("blocks are shared where the file system can, and nobody wants a second copy")
    func reflink() throws {
        let facts = files(4 << 30, fileSystem: 0x9123_683e)
        #expect(try plan(facts).path == .reflink)
        #expect(try plan(facts) { $0.reflink = .never }.path == .engine)
        #expect(try plan(facts) { $0.verifies = true }.path == .engine)
        #expect(try plan(files(100)) { $0.reflink = .always }.path == .reflink)
        #expect(throws: CopyFailure.self) { try plan(CopyFacts()) { $0.reflink = .always } }
    }

    @Test("little memory, little to lock: fewer transfers, not registered, and both are said")
    func poor() throws {
        var facts = files(4 << 30)
        facts.freeMemory = 32 << 20
        facts.lockable = 65_536
        let plan = try plan(facts)
        #expect(plan.depth == 4 && !plan.registered && plan.reasons["registered"]?.contains("RLIMIT_MEMLOCK") == true)
        facts.freeMemory = 0
        #expect(try self.plan(facts).depth == 1)
    }

    @Test("streams are passed on as they come, and pipes spliced")
    func streams() throws {
        var facts = files(4 << 30)
        facts.target = CopyFacts.Side(kind: .pipe)
        let pipe = try plan(facts)
        #expect(
            pipe.path == .splice && pipe.mode == .demand && pipe.target == .stream && pipe.publishing == .none && !pipe.flushes)
        facts.target.kind = .character
        #expect(try plan(facts).path == .engine)
        #expect(throws: CopyFailure.self) { try plan(files(10)) { $0.mode = .demand } }
        #expect(throws: CopyFailure.self) { try plan(facts) { $0.verifies = true } }
    }

    @Test("wishes are followed, and said to be wishes")
    func wishes() throws {
        let plan = try plan(files(4 << 30)) {
            $0.chunk = 123_456
            $0.depth = 3
            $0.mode = .cycleStealing
            $0.share = 0.25
            $0.engine = "mine"
        }
        #expect(plan.chunk == 123_456 && plan.depth == 3 && plan.share == 0.25 && plan.engine == "mine")
        #expect(plan.reasons["chunk"] == "--chunk" && plan.reasons["engine"] == "--engine")
    }

    @Test("every choice of every plan has a reason")
    func reasons() throws {
        var random = Seeded("reasons")
        let kinds: [FileKind?] = [nil, .regular, .block, .character, .pipe, .socket]
        for _ in 0..<3000 {
            var facts = CopyFacts()
            func side() -> CopyFacts.Side {
                let size = UInt64.random(in: 0...(1 << UInt64.random(in: 1..<45, using: &random)), using: &random)
                return CopyFacts.Side(
                    kind: kinds.randomElement(using: &random) ?? nil, size: Bool.random(using: &random) ? size : nil,
                    data: Bool.random(using: &random) ? size / 2 : nil, cachedBytes: Bool.random(using: &random) ? size : nil,
                    directAlignment: [0, 512, 4096].randomElement(using: &random) ?? 0,
                    device: UInt64.random(in: 0..<2, using: &random),
                    fileSystem: [0xef53, 0x9123_683e].randomElement(using: &random) ?? 0,
                    largestRequest: UInt64.random(in: 0..<(8 << 20), using: &random))
            }
            facts.source = side()
            facts.target = side()
            facts.freeMemory = UInt64.random(in: 0..<(1 << 36), using: &random)
            facts.lockable = UInt64.random(in: 0..<(1 << 30), using: &random)
            facts.engine = "io_uring"
            var options = CopyOptions()
            options.treatment = TargetTreatment.allCases.randomElement(using: &random) ?? .replace
            options.flushes = Bool.random(using: &random)
            options.reflink = [.auto, .never].randomElement(using: &random) ?? .auto
            guard let plan = try? CopyPlanner.plan(facts, options) else { continue }
            try plan.check()
            let silent = plan.choices.filter(\.reason.isEmpty).map(\.name)
            try #require(silent.isEmpty, "\(silent) of \(facts)")
        }
    }

    @Test("a plan survives JSON, and hostile ones are refused by field")
    func hostile() throws {
        let plan = try plan(files(4 << 30))
        #expect(try JSONDecoder().decode(CopyPlan.self, from: try JSONEncoder().encode(plan)) == plan)
        let changes: [(String, (inout CopyPlan) -> Void)] = [
            ("version", { $0.version = 2 }), ("chunk", { $0.chunk = 0 }), ("chunk", { $0.chunk = .max }),
            ("depth", { $0.depth = -1 }),
            ("depth", { $0.depth = .max }),
            (
                "depth",
                {
                    $0.chunk = 64 << 20
                    $0.depth = 256
                }
            ), ("share", { $0.share = 0 }),
            ("share", { $0.share = .nan }), ("share", { $0.share = .infinity }),
            ("engine", { $0.engine = String(repeating: "x", count: 65) }), ("engine", { $0.path = .splice }),
            (
                "checksums",
                {
                    $0.path = .inKernel
                    $0.engine = ""
                    $0.checksums = true
                }
            ),
            ("checksums", { $0.publishing = .resume }), ("staging", { $0.staging = "disk" }),
            ("reasons", { $0.reasons["x"] = String(repeating: "y", count: 2000) }),
        ]
        for (field, change) in changes {
            var bad = plan
            change(&bad)
            #expect("\(field)") { try bad.check() } throws: { ($0 as? CopyFailure)?.subject == field }
        }
    }
}
