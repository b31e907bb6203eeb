// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("A cached file, read by one thread and written by another", .serialized)
struct ReadAheadTests {
    /// A copy with so many chunks of 4 KiB read ahead.
    private func copy(
        _ source: Endpoint, _ target: Endpoint, depth: Int, _ options: CopyOptions = CopyOptions(),
        _ control: CopyControl = CopyControl()
    ) throws -> CopyReport {
        let copier = Copier()
        var plan = try copier.plan(from: source, to: target, options)
        (plan.path, plan.engine, plan.source, plan.target) = (.readWrite, "", .buffered, .buffered)
        (plan.chunk, plan.depth, plan.preallocates, plan.registered) = (4096, depth, false, false)
        return try copier.copy(from: source, to: target, options, plan: plan, control: control)
    }

    @Test("every byte arrives where it was, whatever the length, the holes and the publishing", arguments: [2, 3, 8])
    func bytes(_ depth: Int) throws {
        let scratch = try Scratch()
        var random = Seeded("ahead \(depth)")
        for size in [1, 4095, 4096, 4097, 5 * 4096, 8 * 4096 + 7, 300_001] {
            let bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = try scratch.write("a", bytes)
            let report = try copy(.path(scratch.at("a")), .path(scratch.at("b")), depth: depth)
            #expect(try scratch.read("b") == bytes && report.bytes == UInt64(size) && report.plan.depth == depth, "\(size)")
            for treatment in [TargetTreatment.inPlace, .append, .resume] {
                var options = CopyOptions()
                options.treatment = treatment
                let before = treatment == .append ? bytes : []
                _ = try copy(.path(scratch.at("a")), .path(scratch.at("b")), depth: depth, options)
                #expect(try scratch.read("b") == before + bytes, "\(size) \(treatment)")
                _ = try scratch.write("b", bytes)
            }
        }
        // Data, a hole of 1 MiB, data.
        let path = try scratch.write("holes", [UInt8](repeating: 1, count: 70_000))
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.seek(toOffset: 1 << 20)
        try file.write(contentsOf: Data(repeating: 2, count: 10_001))
        try file.close()
        let report = try copy(.path(path), .path(scratch.at("b")), depth: depth)
        #expect(try scratch.read("b") == scratch.read("holes") && report.plan.holes == .keep && report.holes > 900_000)
    }

    @Test("the CRC is that of the bytes, and verification compares it")
    func verified() throws {
        let scratch = try Scratch()
        var random = Seeded("ahead, verified")
        let bytes = (0..<100_003).map { _ in UInt8.random(in: 0...255, using: &random) }
        let path = try scratch.write("a", bytes)
        var options = CopyOptions()
        options.verifies = true
        let report = try copy(.path(path), .path(scratch.at("b")), depth: 4, options)
        #expect(report.verified && report.crc32c == CRC32C.of(bytes))
    }

    @Test(
        "a read that fails in the middle names its place, and leaves no target",
        .enabled(if: GeneratedFile.isPossible, "\(GeneratedFile.without)"))
    func badPlace() throws {
        let scratch = try Scratch()
        let bytes = [UInt8](repeating: 5, count: 1 << 20)
        let file = try GeneratedFile(bytes, says: bytes.count, bad: [600_000..<604_096], in: scratch)
        do {
            _ = try copy(.path(file.path), .path(scratch.at("b")), depth: 8)
            Issue.record("copied")
        } catch let error as CopyFailure {
            #expect(error.code == .readFailed && error.description.lowercased().contains("input/output error"), "\(error)")
        }
        #expect(!scratch.exists("b"))
    }

    @Test(
        "a file that is shorter than it says is copied to its end, and one that is longer too",
        .enabled(if: GeneratedFile.isPossible, "\(GeneratedFile.without)"))
    func untrueSize() throws {
        let scratch = try Scratch()
        let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        for says in [70_000, 20_000] {
            let file = try GeneratedFile(bytes, says: says, in: scratch)
            let report = try copy(.path(file.path), .path(scratch.at("b\(says)")), depth: 8)
            #expect(try scratch.read("b\(says)") == bytes && report.bytes == 50_000, "\(says)")
        }
    }

    @Test("a cancelled copy ends, its thread too")
    func cancelled() throws {
        let scratch = try Scratch()
        let path = try scratch.write("a", [UInt8](repeating: 3, count: 1 << 20))
        let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
        for _ in 0..<20 {
            let control = CopyControl()
            control.cancel()
            #expect(throws: CopyFailure.self) {
                _ = try copy(.path(path), .path(scratch.at("b")), depth: 8, CopyOptions(), control)
            }
        }
        #expect(!scratch.exists("b"))
        let end = Date() + 20
        while try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count > threads + 10, Date() < end {
            usleep(10_000)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count <= threads + 10)
    }
}
