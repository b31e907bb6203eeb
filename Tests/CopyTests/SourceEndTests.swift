// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Where a source ends, whatever its size promised", .serialized)
struct SourceEndTests {
    @Test(
        "a file is copied to where its reads end, be its size given as less or as more",
        .enabled(if: GeneratedFile.isPossible, Comment(rawValue: GeneratedFile.without)),
        arguments: [(100_000, 4096), (1000, 4096), (50_000, 200_000), (5_000_000, 1), (4096, 4096)])
    func generated(_ count: Int, _ says: Int) throws {
        let scratch = try Scratch()
        var random = Seeded("generated \(count)")
        let bytes = random.bytes(count)
        let file = try GeneratedFile(bytes, says: says, in: scratch)
        #expect(try FileFacts.at(CopyPath(file.path))?.size == UInt64(says))
        for engine in [nil, "io_uring"] {
            for treatment in [TargetTreatment.replace, .inPlace, .append, .resume] where says < 1 << 40 || treatment == .replace
            {
                var options = CopyOptions()
                options.engine = engine
                options.treatment = treatment
                options.verifies = treatment != .append
                if engine != nil { (options.chunk, options.depth) = (8192, 8) }
                let name = "\(treatment) \(engine ?? "")"
                let report = try Copier().copy(from: .path(file.path), to: .path(scratch.at(name)), options)
                #expect(report.bytes == UInt64(count) && report.notes.isEmpty, "\(name) \(report)")
                #expect(try scratch.read(name) == bytes, "\(name)")
                if let crc = report.crc32c { #expect(crc == CRC32C.of(bytes), "\(name)") }
            }
        }
        #expect(try Copier().copy(from: .path(file.path), to: .null).bytes == UInt64(count))
    }

    @Test("what was read behind an early end does not count")
    func order() {
        var order = MoverOrder(from: 0, crc: 0, counts: false)
        for sequence: UInt64 in 0..<4 { order.read(sequence, sequence * 10..<(sequence + 1) * 10, crc: 0) }
        order.written(3)
        order.written(0)
        // The second came short: what was read behind does not count, in whatever order it is done.
        order.read(1, 10..<15, crc: 0)
        order.end(at: 15)
        order.written(2)
        order.written(1)
        #expect(order.done == 15 && order.isBehindEnd(15) && !order.isBehindEnd(14))
    }
}
