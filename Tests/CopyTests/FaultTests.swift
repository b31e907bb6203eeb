// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Copies that fail on the way", .serialized)
struct FaultTests {
    private let size = 8 << 20

    /// A source of pattern bytes, and an old target.
    private func files() throws -> Scratch {
        let scratch = try Scratch()
        _ = try Copier().copy(from: .pattern(seed: 1, size: UInt64(size)), to: .path(scratch.at("a")))
        try scratch.write("b", Array("old".utf8))
        return scratch
    }

    private func expectOld(_ scratch: Scratch) throws {
        #expect(try scratch.read("b") == Array("old".utf8))
        #expect(try scratch.names() == ["a", "b"])
    }

    private func faulty(_ fault: Fault) -> Copier { Copier(system: DMASystem(providers: [FaultyProvider(fault)])) }

    private func options(_ change: (inout CopyOptions) -> Void = { _ in }) -> CopyOptions {
        var options = CopyOptions()
        options.engine = "faulty"
        options.chunk = 256 << 10
        options.depth = 4
        change(&options)
        return options
    }

    @Test("a read error at an offset: said where, and the old target stands")
    func readError() throws {
        let scratch = try files()
        for place: UInt64 in [0, 3_000_000, UInt64(size) - 1] {
            do throws(CopyFailure) {
                _ = try faulty(.read(at: place, errno: 5)).copy(
                    from: .path(scratch.at("a")), to: .path(scratch.at("b")), options())
                Issue.record("copied over a read error")
            } catch {
                #expect(error.code == .readFailed && error.errno == 5 && error.subject == scratch.at("a"), "\(error)")
                #expect(error.engine != nil && error.possible.hasSuffix(" at offset \(place / 262_144 * 262_144)"))
            }
            try expectOld(scratch)
        }
    }

    @Test(
        "a write error: full, over quota, too large, broken",
        arguments: zip(
            [Int32(28), 122, 27, 5, 30], [CopyFailure.Code.noSpace, .quotaExceeded, .fileTooLarge, .writeFailed, .readOnly]))
    func writeError(errno: Int32, code: CopyFailure.Code) throws {
        let scratch = try files()
        expectCode(code) {
            _ = try faulty(.write(at: 5_000_000, errno: errno)).copy(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), options())
        }
        try expectOld(scratch)
    }

    @Test(
        "a device that changes a byte: --verify finds it, and the old target stands",
        arguments: [TargetTreatment.replace, .resume])
    func damaged(_ treatment: TargetTreatment) throws {
        let scratch = try files()
        for place: UInt64 in [0, 3_000_000, UInt64(size) - 1] {
            let verifying = options {
                $0.verifies = true
                $0.treatment = treatment
            }
            expectCode(.verifyFailed) {
                _ = try faulty(.damages(at: place)).copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), verifying)
            }
            #expect(try scratch.read("b") == Array("old".utf8))
        }
        // Who does not ask is not told: the fault was there.
        _ = try faulty(.damages(at: 5)).copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options())
        let differing = try Command.shell("cmp -l a b", folder: scratch.path).output.split(separator: "\n")
        #expect(differing.count == 1 && differing.first?.split(separator: " ").first == "6")
    }

    @Test("a copy that fails while appending truncates the target to its old length")
    func append() throws {
        let scratch = try files()
        expectCode(.writeFailed) {
            _ = try faulty(.write(at: 5_000_000, errno: 5)).copy(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), options { $0.treatment = .append })
        }
        try expectOld(scratch)
    }

    @Test("a device that never answers: a stop comes through within two seconds")
    func hang() throws {
        let isTimely = try Machine.isTimely(2) {
            let scratch = try files()
            let control = CopyControl()
            let thread = Thread {
                usleep(300_000)
                control.cancel()
            }
            thread.start()
            let began = Date()
            expectCode(.cancelled) {
                _ = try faulty(.hangs(at: 4_000_000)).copy(
                    from: .path(scratch.at("a")), to: .path(scratch.at("b")), options(), control: control)
            }
            let seconds = -began.timeIntervalSinceNow
            try expectOld(scratch)
            return seconds
        }
        #expect(isTimely)
    }

    @Test("an interrupted copy goes on behind what was compared")
    func resume() throws {
        let scratch = try files()
        let resuming = options { $0.treatment = .resume }
        expectCode(.readFailed) {
            _ = try faulty(.read(at: 5_000_000, errno: 5)).copy(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), resuming)
        }
        #expect(try scratch.read("b") == Array("old".utf8))
        #expect(try scratch.names() == [".b.dmactl-journal", ".b.dmactl-part", "a", "b"])
        let report = try faulty(.none).copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), resuming)
        #expect(report.resumed > 0 && report.resumed <= 5_000_000, "\(report.resumed)")
        #expect(report.moved == UInt64(size) - report.resumed && report.holes == 0)
        let expected = try scratch.read("a")
        #expect(unsafe report.crc32c == CRC32C.of(expected.span.bytes))
        try expectSame(scratch)
    }

    @Test(
        "a part file that was touched, or a source that was, is not gone on with",
        arguments: ["part", "short", "source", "journal"])
    func resumeRefused(what: String) throws {
        let scratch = try files()
        let resuming = options { $0.treatment = .resume }
        expectCode(.readFailed) {
            _ = try faulty(.read(at: 5_000_000, errno: 5)).copy(
                from: .path(scratch.at("a")), to: .path(scratch.at("b")), resuming)
        }
        let line =
            switch what {
            case "part": "printf x | dd of=.b.dmactl-part bs=1 seek=1000 conv=notrunc 2>/dev/null"
            case "short": "truncate -s 1000 .b.dmactl-part"
            case "source": "touch -d 2001-01-01 a"
            default: "echo nonsense > .b.dmactl-journal"
            }
        try Command.shell(line, folder: scratch.path)
        let report = try faulty(.none).copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), resuming)
        #expect(report.resumed == 0 && (what == "journal" || report.notes.contains { $0.contains("started again") }))
        try expectSame(scratch)
    }

    @Test("an unknown part file leaves none of its bytes in the target, also not in holes")
    func strangePart() throws {
        let scratch = try Scratch()
        try Command.shell(
            "truncate -s 1M a; printf end >> a; head -c 2000000 /dev/urandom > .b.dmactl-part", folder: scratch.path)
        for engine in [nil, "io_uring"] {
            var options = CopyOptions()
            options.treatment = .resume
            options.engine = engine
            let report = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), options)
            #expect(report.resumed == 0)
            try expectSame(scratch)
            try Command.shell("rm b; head -c 2000000 /dev/urandom > .b.dmactl-part", folder: scratch.path)
        }
    }

    @Test("a part file with a second name is refused; one that another copy works on is held; one that is left over is named")
    func partFiles() throws {
        let scratch = try files()
        let resuming = options { $0.treatment = .resume }
        let (from, to) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
        try Command.shell("echo mine > other; ln other .b.dmactl-part", folder: scratch.path)
        expectCode(.badJournal) { _ = try faulty(.none).copy(from: from, to: to, resuming) }
        #expect(try scratch.read("other") == Array("mine\n".utf8))
        try Command.shell("rm other .b.dmactl-part", folder: scratch.path)
        // While a copy is on its way, a second one to the same place.
        let second = faulty(.none)
        let control = CopyControl { progress in
            guard progress.phase == .copying, progress.bytes == 0 else { return }
            expectCode(.held) { _ = try second.copy(from: from, to: to, resuming) }
        }
        expectCode(.readFailed) {
            _ = try faulty(.read(at: 5_000_000, errno: 5)).copy(from: from, to: to, resuming, control: control)
        }
        let report = try Copier().copy(from: from, to: to)
        #expect(
            report.notes.contains {
                $0.hasPrefix("an interrupted copy, which could have been resumed, still exists")
                    && $0.hasSuffix("/.b.dmactl-part")
            })
    }

    @Test("the other names of a file that was replaced lead to the old bytes, and that is said")
    func otherNames() throws {
        let scratch = try files()
        try Command.run(["ln", scratch.at("b"), scratch.at("c")])
        let report = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")))
        #expect(report.notes.contains { $0.hasPrefix("the old file had 2 names") })
        #expect(try scratch.read("c") == Array("old".utf8))
        try Command.run(["rm", scratch.at("c")])
        #expect(try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("b"))).notes.isEmpty)
    }

    private func expectSame(_ scratch: Scratch) throws {
        #expect(try scratch.read("a") == scratch.read("b"))
        #expect(try scratch.names() == ["a", "b"])
    }

    @Test(
        "a source that shrinks meanwhile is an error; one that grows is copied as long as it was; one that was written is said",
        arguments: ["shrinks", "grows", "written"], [nil, "io_uring"])
    func changing(_ what: String, _ engine: String?) throws {
        let scratch = try files()
        let (path, size) = (scratch.at("a"), size)
        var options = CopyOptions()
        options.engine = engine
        // When the bytes begin to move, its size has been looked at.
        let control = CopyControl { progress in
            guard progress.phase == .copying, progress.bytes == 0 else { return }
            if what == "written" {
                unsafe #expect(utimes(path, [timeval(tv_sec: 1, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]) == 0)
            } else {
                unsafe #expect(truncate(path, what == "grows" ? size * 2 : size / 2) == 0)
            }
        }
        if what == "shrinks" {
            expectCode(.sourceShrank) {
                _ = try Copier().copy(from: .path(path), to: .path(scratch.at("b")), options, control: control)
            }
            try expectOld(scratch)
        } else {
            let report = try Copier().copy(from: .path(path), to: .path(scratch.at("b")), options, control: control)
            let says = what == "grows" ? "the source grew" : "the source was written during the copy"
            #expect(report.bytes == UInt64(size) && report.notes.contains { $0.hasPrefix(says) })
            #expect(try scratch.read("b").count == size)
        }
    }

    @Test("a plan for other endpoints is refused")
    func foreignPlan() throws {
        let scratch = try files()
        let copier = Copier()
        let plan = try copier.plan(from: .path(scratch.at("a")), to: .null)
        expectCode(.badPlan) { _ = try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), plan: plan) }
        let own = try copier.plan(from: .path(scratch.at("a")), to: .path(scratch.at("b")))
        let changes: [(String, (inout CopyPlan) -> Void)] = [
            ("source", { $0.source = .stream }), ("source", { $0.source = .memory }), ("target", { $0.target = .stream }),
            ("publishing", { $0.publishing = .inPlace }), ("publishing", { $0.publishing = .none }),
            ("path", { $0.path = .memory }),
        ]
        for (field, change) in changes {
            var changed = own
            change(&changed)
            #expect("\(field)") {
                _ = try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), plan: changed)
            } throws: { ($0 as? CopyFailure)?.code == .badPlan && ($0 as? CopyFailure)?.subject == field }
        }
        // Zeroes that must be written must not be left out.
        try Command.run(["truncate", "-s", "1M", scratch.at("holes")])
        var appending = CopyOptions()
        appending.treatment = .append
        var keeping = try copier.plan(from: .path(scratch.at("holes")), to: .path(scratch.at("b")), appending)
        keeping.holes = .keep
        expectCode(.badPlan) {
            _ = try copier.copy(from: .path(scratch.at("holes")), to: .path(scratch.at("b")), appending, plan: keeping)
        }
        #expect(try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), plan: own).bytes == UInt64(size))
    }
}
