// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("What would keep a file from being replaced is found before the first byte", .serialized)
struct FileSiteTests {
    private func expectRefused(
        _ scratch: Scratch, _ name: String, _ words: String,
        _ treatment: TargetTreatment = .replace, at location: SourceLocation = #_sourceLocation
    ) {
        let phases = Locked<[CopyProgress.Phase]>([])
        let control = CopyControl { progress in phases.withLock { $0.append(progress.phase) } }
        var options = CopyOptions()
        options.treatment = treatment
        do throws(CopyFailure) {
            _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at(name)), options, control: control)
            Issue.record("copied", sourceLocation: location)
        } catch {
            #expect(error.code == .notPermitted && error.possible.contains(words), "\(error)", sourceLocation: location)
            #expect(!phases.withLock { $0 }.contains(.copying) && error.notes.isEmpty, sourceLocation: location)
            #expect(!error.description.contains("--"), "\(error)", sourceLocation: location)
        }
    }

    @Test(
        "an immutable file, and files in immutable and append-only directories",
        .enabled(if: FileFlags.areThere, Comment(rawValue: FileFlags.without)))
    func flags() throws {
        let scratch = try FileFlags.scratch()
        try scratch.write("a", [1])
        try Command.shell("echo old > fixed; mkdir frozen log; echo old > frozen/b; echo old > log/b", folder: scratch.path)
        try Command.shell("chattr +i fixed frozen; chattr +a log", folder: scratch.path)
        for treatment in [TargetTreatment.replace, .resume, .inPlace, .append] {
            expectRefused(scratch, "fixed", "it is immutable", treatment)
        }
        for name in ["frozen/b", "frozen/new"] {
            for treatment in [TargetTreatment.replace, .resume] {
                expectRefused(scratch, name, "its directory is immutable", treatment)
            }
        }
        for name in ["log/b", "log/new"] {
            for treatment in [TargetTreatment.replace, .resume] {
                expectRefused(scratch, name, "its directory is append-only", treatment)
            }
        }
        #expect(try scratch.names("log") == ["b"] && scratch.names("frozen") == ["b"])
        // What is possible there is done.
        var options = CopyOptions()
        options.treatment = .inPlace
        for name in ["frozen/b", "log/b", "log/new"] {
            _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at(name)), options)
            #expect(try scratch.read(name) == [1])
        }
    }

    @Test("a name in /dev that is no device's", .enabled(if: Machine.isRoot, "only root may make files in /dev; run as root"))
    func missingDevice() throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        let name = "/dev/no-such-disk-\(UUID().uuidString)"
        for source in [Endpoint.path(scratch.at("a")), .zero(10)] {
            expectCode(.notFound) { _ = try Copier().copy(from: source, to: .path(name)) }
        }
        #expect(try FileFacts.at(CopyPath(name)) == nil)
    }

    @Test(
        "where there is no room for both, the message says how much is needed and free",
        .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)))
    func room() throws {
        let scratch = try Scratch()
        try scratch.tmpfs("t", "size=4m")
        try scratch.write("a", [UInt8](repeating: 1, count: 3 << 20))
        try scratch.write("t/b", [UInt8](repeating: 2, count: 2 << 20))
        do throws(CopyFailure) {
            _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("t/b")))
            Issue.record("3 MiB in 2 MiB")
        } catch {
            #expect(error.code == .noSpace && error.possible.hasPrefix("no space left (needs 3 MiB, "), "\(error)")
            #expect(error.remedy == .overwriteInPlace)
        }
        #expect(try scratch.read("t/b") == [UInt8](repeating: 2, count: 2 << 20))
    }
}
