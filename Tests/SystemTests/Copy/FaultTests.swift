// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMA

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
                #expect(error.engine != nil && error.asked == "the bytes at offset \(place / 262_144 * 262_144)")
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
        #expect(report.moved == UInt64(size) - report.resumed)
        try expectSame(scratch)
    }

    @Test("a part file that was touched, or a source that was, is not gone on with", arguments: ["part", "source", "journal"])
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
            case "source": "touch -d 2001-01-01 a"
            default: "echo nonsense > .b.dmactl-journal"
            }
        try Command.shell(line, folder: scratch.path)
        let report = try faulty(.none).copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), resuming)
        #expect(report.resumed == 0 && (what == "journal" || report.notes.contains { $0.contains("begun anew") }))
        try expectSame(scratch)
    }

    private func expectSame(_ scratch: Scratch) throws {
        #expect(try scratch.read("a") == scratch.read("b"))
        #expect(try scratch.names() == ["a", "b"])
    }

    @Test("a source that shrinks meanwhile is an error; one that grows is copied as long as it was")
    func changing() throws {
        for grows in [false, true] {
            for engine in [nil, "io_uring"] {
                let scratch = try files()
                let path = scratch.at("a")
                let size = size
                let thread = Thread {
                    usleep(150_000)
                    _ = unsafe truncate(path, grows ? size * 2 : size / 2)
                }
                var slow = CopyOptions()
                slow.rate = UInt64(size) * 2
                slow.chunk = 128 << 10
                slow.engine = engine
                thread.start()
                if grows {
                    let report = try Copier().copy(from: .path(path), to: .path(scratch.at("b")), slow)
                    #expect(report.bytes == UInt64(size) && report.notes.contains { $0.contains("grew") })
                    #expect(try scratch.read("b").count == size)
                } else {
                    expectCode(.sourceShrank) { _ = try Copier().copy(from: .path(path), to: .path(scratch.at("b")), slow) }
                    try expectOld(scratch)
                }
            }
        }
    }

    @Test("a plan for other endpoints is refused")
    func foreignPlan() throws {
        let scratch = try files()
        let copier = Copier()
        let plan = try copier.plan(from: .path(scratch.at("a")), to: .null)
        expectCode(.badPlan) { _ = try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), plan: plan) }
        let own = try copier.plan(from: .path(scratch.at("a")), to: .path(scratch.at("b")))
        #expect(try copier.copy(from: .path(scratch.at("a")), to: .path(scratch.at("b")), plan: own).bytes == UInt64(size))
    }
}
