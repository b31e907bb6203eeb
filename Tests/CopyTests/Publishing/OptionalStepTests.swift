// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import ForbiddenSystemCalls
import Foundation
import Testing

@testable import DMACopy

@Suite("Steps of a copy that a file system may not have", .serialized)
struct OptionalStepTests {
    private static let refusals = [ENOSYS, EPERM, EOPNOTSUPP, EACCES, EINVAL]
    private static let steps = [forbidden_ftruncate, forbidden_fallocate, forbidden_utimensat, forbidden_flock]

    @Test(
        "without lengths, room, times and locks a file is copied as with them, into a new file and over an old one",
        arguments: refusals, [TargetTreatment.replace, .inPlace, .resume, .append])
    func refused(_ errno: Int32, _ treatment: TargetTreatment) throws {
        let scratch = try Scratch()
        var random = Seeded("refused \(errno) \(treatment)")
        let bytes = random.bytes(300_000)
        try scratch.write("a", bytes)
        try scratch.write("old", [1, 2, 3])
        var options = CopyOptions()
        options.treatment = treatment
        for name in ["new", "old"] {
            let result = try copying(
                .path(scratch.at("a")), to: .path(scratch.at(name)), options, without: Self.steps.map { ($0, errno) })
            #expect(throws: Never.self, "\(result)") { try result.get() }
            #expect(try scratch.read(name) == (treatment == .append && name == "old" ? [1, 2, 3] : []) + bytes)
        }
        // From what has no size, too.
        let result = try copying(
            .pattern(seed: 1, size: 100_000), to: .path(scratch.at("p")),
            options.treatment == .resume ? CopyOptions() : options,
            without: Self.steps.map { ($0, errno) })
        #expect(throws: Never.self, "\(result)") { try result.get() }
        #expect(try Copier().copy(from: .path(scratch.at("p")), to: .pattern(seed: 1, size: nil)).bytes == 100_000)
    }

    @Test("holes are holes in a new file without lengths; in an old one zeroes are written over its bytes")
    func holes() throws {
        let scratch = try Scratch()
        try scratch.write("b", [UInt8](repeating: 9, count: 100_000))
        try Command.shell(
            "truncate -s 1M a; printf x | dd of=a bs=1 seek=500000 conv=notrunc 2>/dev/null", folder: scratch.path)
        for (name, treatment) in [("c", TargetTreatment.replace), ("b", .inPlace)] {
            var options = CopyOptions()
            options.treatment = treatment
            let result = try copying(
                .path(scratch.at("a")), to: .path(scratch.at(name)), options, without: [(forbidden_ftruncate, ENOSYS)])
            #expect(throws: Never.self, "\(result)") { try result.get() }
            #expect(try scratch.read(name) == scratch.read("a"))
        }
    }

    @Test("a longer file that cannot be cut off is said to be one")
    func longer() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try scratch.write("b", [UInt8](repeating: 9, count: 100))
        var options = CopyOptions()
        options.treatment = .inPlace
        let result = try copying(
            .path(scratch.at("a")), to: .path(scratch.at("b")), options, without: [(forbidden_ftruncate, ENOSYS)])
        guard case .failure(let failure) = result else { throw Unforbidden() }
        #expect(failure.code == .writeFailed && failure.asked == "shorten")
        #expect(failure.notes.contains { $0.contains("a mixture of old and new data") }, "\(failure.notes)")
    }

    @Test("room that is refused is noted, and the copy made; no room is a failure before old bytes are gone")
    func room() throws {
        let scratch = try Scratch()
        try scratch.write("a", [UInt8](repeating: 5, count: 70_000))
        let (from, to) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
        var plan = try Copier().plan(from: from, to: to)
        plan.preallocates = true
        let copied = try copying(from, to: to, plan: plan, without: [(forbidden_fallocate, EPERM)]).get()
        #expect(copied.notes == ["space was not allocated in advance: Operation not permitted"])
        #expect(try scratch.read("b") == scratch.read("a"))
        // More is refused than is needed: a write has the last word.
        let written = try copying(from, to: to, plan: plan, without: [(forbidden_fallocate, ENOSPC)]).get()
        #expect(written.notes == ["space was not allocated in advance: No space left on device"])
        #expect(try scratch.read("b") == scratch.read("a"))
        try scratch.write("b", [1, 2, 3])
        var options = CopyOptions()
        options.treatment = .inPlace
        let full = try copying(from, to: to, options, without: [(forbidden_fallocate, ENOSPC)])
        guard case .failure(let failure) = full else { throw Unforbidden() }
        #expect(failure.code == .noSpace && failure.possible.contains("(needs 68.4 KiB, ") && failure.notes.isEmpty)
        #expect(try scratch.read("b") == [1, 2, 3])
    }

    @Test("a file system without fsync is written as well as it can be; one whose fsync fails has not got the copy")
    func flush() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        try scratch.write("b", [9])
        let (from, to) = (Endpoint.path(scratch.at("a")), Endpoint.path(scratch.at("b")))
        let failed = try copying(from, to: to, without: [(forbidden_fsync, EIO)])
        guard case .failure(let failure) = failed else { throw Unforbidden() }
        #expect(
            failure.code == .flushFailed && failure.description.contains("cannot flush \(scratch.at("b")): Input/output error"))
        #expect(try scratch.read("b") == [9] && scratch.names() == ["a", "b"])
        let copied = try copying(from, to: to, without: [(forbidden_fsync, ENOSYS)])
        #expect(throws: Never.self, "\(copied)") { try copied.get() }
        #expect(try scratch.read("b") == [1, 2, 3])
    }

    @Test(
        "what close(2) says of lost bytes is a failure of the copy, and the old target stands",
        arguments: [EIO, ENOSPC, EDQUOT])
    func closing(_ errno: Int32) throws {
        let scratch = try Scratch()
        try scratch.write("a", [UInt8](repeating: 1, count: 5000))
        let codes: [Int32: CopyFailure.Code] = [EIO: .writeFailed, ENOSPC: .noSpace, EDQUOT: .quotaExceeded]
        for (treatment, flushes) in [(TargetTreatment.replace, true), (.replace, false), (.inPlace, true), (.append, true)] {
            try scratch.write("b", [9])
            var options = CopyOptions()
            (options.treatment, options.flushes) = (treatment, flushes)
            let result = try copying(
                .path(scratch.at("a")), to: .path(scratch.at("b")), options, without: [(forbidden_close, errno)])
            guard case .failure(let failure) = result else {
                Issue.record("copied by \(treatment), although close answered \(errno)")
                continue
            }
            #expect(failure.code == codes[errno] && failure.subject == scratch.at("b"), "\(failure)")
            if treatment == .replace { #expect(try scratch.read("b") == [9]) }
            #expect(try scratch.names() == ["a", "b"])
        }
        // The journal of a resumable copy is closed as well.
        var options = CopyOptions()
        options.treatment = .resume
        let result = try copying(
            .path(scratch.at("a")), to: .path(scratch.at("c")), options, without: [(forbidden_close, errno)])
        #expect(throws: CopyFailure.self) { try result.get() }
        #expect(!scratch.exists("c"))
    }
}
