// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

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

    @Test("a cached file is read ahead by a second thread, where there is a processor for it and the file is worth it")
    func readAhead() throws {
        func cached(_ size: UInt64, _ processors: Int = 2, _ change: (inout CopyOptions) -> Void = { _ in }) throws -> CopyPlan
        {
            var facts = files(size, cached: size)
            facts.processors = processors
            return try self.plan(facts) { options in
                options.flushes = false
                change(&options)
            }
        }
        let plan = try cached(64 << 20)
        #expect(plan.path == .readWrite && plan.depth == 8 && plan.chunk == 256 << 10)
        #expect(plan.reasons["depth"] == "a second thread reads ahead while the first one writes")
        #expect(try cached(4 << 20).depth == 8 && cached(4 << 20 - 1).depth == 1)
        let one = try cached(64 << 20, 1)
        #expect(one.depth == 1 && one.reasons["depth"]?.contains("one processor") == true)
        #expect(try cached(64 << 20) { $0.rate = 1 << 20 }.depth == 1 && cached(64 << 20) { $0.depth = 1 }.depth == 1)
        // A stream has no places, of which some could be read ahead.
        var stream = files(64 << 20)
        (stream.source.size, stream.source.data, stream.processors) = (nil, nil, 2)
        #expect(try self.plan(stream).depth == 1)
    }

    @Test("blocks are shared where the file system can, unless a second copy was requested")
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

    @Test("where the cache is worth more than the medium: by size, by what is in it, by what fits")
    func cacheOrMedium() throws {
        let threshold: UInt64 = 16 << 20
        #expect(try plan(files(threshold)).source == .direct && plan(files(threshold - 1)).source == .buffered)
        #expect(try plan(files(1 << 30, cached: 400 << 20)).source == .direct)
        #expect(try plan(files(1 << 30, cached: 600 << 20)).source == .buffered)
        // Without a flush a quarter of the free memory may wait in the page cache.
        for (free, target) in [(UInt64(4) << 30, CopyPlan.Access.buffered), ((4 << 30) - 4, .direct)] {
            var facts = files(1 << 30)
            facts.freeMemory = free
            #expect(try plan(facts) { $0.flushes = false }.target == target)
        }
        #expect(try plan(files(1 << 30)) { $0.treatment = .append }.target == .buffered)
        var facts = files(1 << 30)
        facts.target.directAlignment = 0
        #expect(try plan(facts).target == .buffered && plan(facts).source == .direct)
    }

    @Test("a transfer is no larger than the device takes, and no more are in flight than there are")
    func transfers() throws {
        for (limit, chunk) in [(UInt64(0), UInt64(1 << 20)), (4 << 20, 1 << 20), (600_000, 598_016), (65_536, 256 << 10)] {
            var facts = files(4 << 30)
            facts.source.largestRequest = limit
            #expect(try plan(facts).chunk == chunk, "\(limit)")
        }
        #expect(try plan(files(16 << 20)).depth == 16 && plan(files((16 << 20) - 1)) { $0.engine = "io_uring" }.depth == 4)
        for (size, depth) in [(UInt64(1), 1), (256 << 10, 1), (256 << 10 + 1, 2), (700 << 10, 3)] {
            #expect(try plan(files(size)) { $0.engine = "io_uring" }.depth == depth, "\(size)")
        }
        var facts = files(4 << 30)
        facts.lockable = 16 << 20
        #expect(try plan(facts).registered)
        facts.lockable -= 1
        #expect(try !plan(facts).registered)
    }

    @Test("holes are kept in a new file, and written where the target has something else there")
    func holes() throws {
        var facts = files(4 << 30)
        #expect(try plan(facts).holes == .none)
        facts.source.data = 1 << 30
        #expect(try plan(facts).holes == .keep)
        // Where the file system was asked, room says nothing: there may be some beyond the end, or less for what is compressed.
        facts.source.hasHoles = false
        #expect(try plan(facts).holes == .none)
        (facts.source.data, facts.source.hasHoles) = (4 << 30, true)
        #expect(try plan(facts).holes == .keep)
        #expect(try plan(facts) { $0.treatment = .append }.holes == .write)
        facts.target = CopyFacts.Side(kind: .block, size: 8 << 30, directAlignment: 512)
        let disk = try plan(facts)
        #expect(disk.holes == .write && !disk.preallocates && disk.publishing == .none && disk.path == .engine)
    }

    @Test("no way is taken that would not do what was asked")
    func ways() throws {
        let btrfs: UInt64 = 0x9123_683e
        let wishes: [(inout CopyOptions) -> Void] = [
            { $0.rate = 1000 }, { $0.verifies = true }, { $0.mode = .burst }, { $0.treatment = .inPlace },
            { $0.treatment = .append },
            { $0.treatment = .resume },
        ]
        for (number, wish) in wishes.enumerated() {
            #expect(try plan(files(4 << 30, fileSystem: btrfs), wish).path != .reflink, "\(number)")
        }
        var apart = files(4 << 30, fileSystem: btrfs)
        apart.target.device = 8
        // Two disks, or two subvolumes of one: the file system says which, when it is asked to share.
        #expect(try plan(apart).path == .reflink)
        apart.target.fileSystem = 0xef53
        #expect(try plan(apart).path != .reflink)
        // No CRC is computed of data that the kernel moves.
        let nfs: UInt64 = 0x6969
        for wish in [{ $0.verifies = true }, { $0.treatment = .resume }, { $0.treatment = .append }]
            as [(inout CopyOptions) -> Void]
        {
            #expect(try plan(files(5 << 20, fileSystem: nfs), wish).path == .readWrite)
        }
        var endless = files(0, fileSystem: nfs)
        (endless.source.size, endless.source.data) = (nil, nil)
        #expect(try plan(endless).path == .readWrite)
        var pipe = files(5 << 20)
        pipe.source = CopyFacts.Side(kind: .pipe)
        #expect(try plan(pipe).path == .splice)
        for wish in [{ $0.treatment = .resume }, { $0.chunk = 4096 }, { $0.treatment = .append }]
            as [(inout CopyOptions) -> Void]
        {
            #expect(try plan(pipe, wish).path == .engine)
        }
    }

    @Test("wishes that contradict themselves, or are out of range, are refused by name; the ends of the ranges are taken")
    func badWishes() throws {
        let refused: [(String, (inout CopyOptions) -> Void)] = [
            ("share", { $0.share = 0 }), ("share", { $0.share = 1.01 }), ("share", { $0.share = .nan }),
            ("chunk", { $0.chunk = 511 }), ("chunk", { $0.chunk = (64 << 20) + 1 }), ("depth", { $0.depth = 0 }),
            ("depth", { $0.depth = 257 }), ("rate", { $0.rate = 0 }),
            ("resume", { ($0.treatment, $0.reflink) = (.resume, .always) }),
            ("append", { ($0.treatment, $0.reflink) = (.append, .always) }),
        ]
        for (name, wish) in refused {
            #expect("\(name)") {
                _ = try plan(files(4 << 30), wish)
            } throws: { ($0 as? CopyFailure)?.code == .badOption && ($0 as? CopyFailure)?.subject == name }
        }
        let taken: [(inout CopyOptions) -> Void] = [
            { $0.share = 1 }, { $0.chunk = 512 }, { ($0.chunk, $0.depth) = (64 << 20, 1) }, { $0.depth = 256 }, { $0.rate = 1 },
        ]
        for wish in taken { #expect(throws: Never.self) { _ = try plan(files(4 << 30), wish) } }
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
        #expect(plan.reasons["chunk"] == "requested" && plan.reasons["engine"] == "requested")
    }

    @Test("every choice of every plan has a reason")
    func reasons() throws {
        var random = Seeded("reasons")
        let kinds: [FileKind?] = [nil, .regular, .block, .character, .pipe, .socket]
        var plans = 0
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
            plans += 1
        }
        // Not everything can be copied to everything.
        #expect(plans > 1500)
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
