// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Parts of a copy: the rate, reading back, lists, progress", .serialized)
struct CopyPartTests {
    @Test("who has done nothing for a while may send a tenth of a second's worth at once, and no more")
    func burst() throws {
        let rate = 10_000_000.0
        var limit = try #require(RateLimit(UInt64(rate)))
        usleep(500_000)
        let began = Deadline.now.nanoseconds
        var sent = 0.0
        while limit.allows(), sent < rate {
            limit.charge(10_000)
            sent += 10_000
        }
        // What came in meanwhile, and the last charge, which may be a debt.
        let meanwhile = Double(Deadline.now.nanoseconds - began) / 1e9
        #expect(sent >= rate / 10 && sent <= rate / 10 + meanwhile * rate + 20_000, "\(sent)")
        #expect(RateLimit(nil) == nil)
    }

    @Test("a debt is paid before the next transfer; a waiting copy checks for cancellation ten times a second")
    func debt() throws {
        var limit = try #require(RateLimit(1000))
        limit.charge(1_000_000)
        let mayGo = limit.allows()
        #expect(!mayGo)
        let turn = limit.nextTurn.nanoseconds
        #expect(turn <= Deadline.now.nanoseconds + 100_000_000)
        // So that a stop is heard.
        let control = CopyControl()
        control.cancel()
        expectCode(.cancelled) { try limit.waitAndCharge(1, "a", control) }
    }

    @Test("what is read back is exactly the asked part, holes counted; less is a failure, and a stop is one")
    func readBack() throws {
        let scratch = try Scratch()
        var random = Seeded("read back")
        // Data, a hole, data, a hole.
        let (first, last) = (random.bytes(5000), random.bytes(3000))
        try scratch.write("a", first)
        try Command.run(["truncate", "-s", "2M", scratch.at("a")])
        let handle = try FileHandle(forWritingTo: URL(filePath: scratch.at("a")))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(last))
        try handle.truncate(atOffset: 4 << 20)
        try handle.close()
        let bytes = try scratch.read("a")
        func back(_ control: CopyControl = CopyControl()) throws -> ReadBack {
            ReadBack(file: try OpenFile(CopyPath(scratch.at("a")), O_RDONLY, for: "a test"), name: "a", control: control)
        }
        for (start, end) in [
            (0, 4 << 20), (0, 0), (0, 4000), (1000, 4999), (4999, 5001), (0, 3 << 20), (3 << 20, 4 << 20),
            (2_097_151, 2_099_000),
        ] {
            let part = Array(bytes[start..<end])
            let expected = unsafe CRC32C.of(part.span.bytes)
            #expect(try back().crc(UInt64(start), UInt64(end)) == expected, "\(start) to \(end)")
        }
        let cancelled = CopyControl()
        cancelled.cancel()
        expectCode(.cancelled) { _ = try back(cancelled).crc(0, 4000) }
        // A file that got shorter after it was looked at, and one that always was.
        try scratch.write("a", first)
        expectCode(.verifyFailed) { _ = try back().crc(4000, 5001) }
    }

    @Test("a list is separated by zero bytes where it has any, else by newlines; empty names are none")
    func lists() {
        #expect(CopyList.paths(Array("a\nb\n\nc".utf8)) == ["a", "b", "c"])
        #expect(CopyList.paths(Array("a\nb\0\0c d\0".utf8)) == ["a\nb", "c d"])
        #expect(CopyList.paths([]).isEmpty)
    }

    @Test("a path of a list leads nowhere else, though its slashes have marks on them")
    func listedPathsStayInside() throws {
        for path in ["..", "a/../b", "../\u{301}b", "a/\u{301}/../../b", "..\u{2f}\u{20dd}x"] {
            #expect(throws: CopyFailure.self, "\(path)") { try CopyList.planned(CopyPath(path), below: "/") }
        }
        // A name with a mark is a name.
        let planned = try CopyList.planned("a/\u{301}b", below: "/")
        #expect(planned.path.bytes == Array("/a/\u{301}b".utf8))
    }

    @Test("progress is a share of the whole; of nothing, all is done; of an unknown whole there is no share")
    func progress() {
        var progress = CopyProgress()
        #expect(progress.fraction == nil)
        (progress.bytes, progress.total) = (1, 4)
        #expect(progress.fraction == 0.25)
        progress.bytes = 9
        #expect(progress.fraction == 1)
        (progress.bytes, progress.total) = (0, 0)
        #expect(progress.fraction == 1)
    }
}
