// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Mode, owner and attributes of a copy", .serialized)
struct AttributeTests {
    /// An access control list, as its attribute has it: the owner, user 65534, the group, a mask, others. acl(5).
    private static func list(user: UInt8, group: UInt8, mask: UInt8) -> [UInt8] {
        func entry(_ tag: UInt8, _ permissions: UInt8, _ id: [UInt8] = [255, 255, 255, 255]) -> [UInt8] {
            [tag, 0, permissions, 0] + id
        }
        return [2, 0, 0, 0] + entry(1, 6) + entry(2, user, [254, 255, 0, 0]) + entry(4, group) + entry(16, mask) + entry(32, 0)
    }

    /// By a program, since Swift's C library shows no such call.
    private static func set(_ name: String, _ value: [UInt8], of path: String) -> Bool {
        let digits = value.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let line = "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))"
        return (try? Command.run(["python3", "-c", line, path, name, digits]).status) == 0
    }

    private static func names(_ path: String) throws -> [String] {
        let file = try OpenFile(CopyPath(path), O_RDONLY, for: "read")
        return try #require(ExtendedAttributes(file).names).map { String(decoding: $0, as: UTF8.self) }.sorted()
    }

    private static let hasLists: Bool = {
        guard let scratch = try? Scratch(), (try? scratch.write("a", [1])) != nil else { return false }
        return set(AccessList.name, list(user: 6, group: 4, mask: 6), of: scratch.at("a"))
    }()
    private static let withoutLists =
        "no access control list can be set; Debian: apt-get install python3, and TMPDIR on ext4, xfs or btrfs"

    @Test(
        "what is kept is what the source has, and nothing else: not a directory's default list, nor an old file's",
        .enabled(if: hasLists, Comment(rawValue: withoutLists)), arguments: [TargetTreatment.replace, .inPlace, .resume])
    func equal(_ treatment: TargetTreatment) throws {
        let scratch = try Scratch()
        try Command.shell("mkdir d; echo s > s; chmod 660 s; echo old > d/old; chmod 600 d/old", folder: scratch.path)
        #expect(Self.set("system.posix_acl_default", Self.list(user: 7, group: 5, mask: 7), of: scratch.at("d")))
        #expect(Self.set(AccessList.name, Self.list(user: 6, group: 4, mask: 6), of: scratch.at("d/old")))
        #expect(Self.set("user.old", [1], of: scratch.at("d/old")) && Self.set("user.mine", [2], of: scratch.at("s")))
        var options = CopyOptions()
        (options.preserves, options.treatment) = (true, treatment)
        for name in ["d/old", "d/new"] {
            let report = try Copier().copy(from: .path(scratch.at("s")), to: .path(scratch.at(name)), options)
            #expect(try report.notes.isEmpty && Self.names(scratch.at(name)) == ["user.mine"], "\(name) \(report.notes)")
            #expect(try FileFacts.at(CopyPath(scratch.at(name)))?.mode == 0o660)
        }
    }

    @Test(
        "a replaced file stays its owner's: list, mode and attributes; without a list the mode is the source's",
        .enabled(if: hasLists, Comment(rawValue: withoutLists)))
    func replaced() throws {
        let scratch = try Scratch()
        try Command.shell(
            "echo s > s; chmod 666 s; echo old > listed; echo old > plain; chmod 600 listed plain", folder: scratch.path)
        let list = Self.list(user: 4, group: 0, mask: 4)
        #expect(Self.set(AccessList.name, list, of: scratch.at("listed")) && Self.set("user.x", [1], of: scratch.at("listed")))
        for name in ["listed", "plain"] {
            let report = try Copier().copy(from: .path(scratch.at("s")), to: .path(scratch.at(name)))
            #expect(try report.notes.isEmpty && scratch.read(name) == Array("s\n".utf8))
        }
        let file = try OpenFile(CopyPath(scratch.at("listed")), O_RDONLY, for: "read")
        #expect(ExtendedAttributes(file).value(Array(AccessList.name.utf8)) == list)
        #expect(try Self.names(scratch.at("listed")) == [AccessList.name, "user.x"])
        #expect(try FileFacts.at(CopyPath(scratch.at("plain")))?.mode == 0o666)
    }

    @Test(
        "the mask of a list that does not come along gives the group nothing",
        .enabled(if: hasLists, Comment(rawValue: withoutLists)))
    func mask() throws {
        let scratch = try Scratch()
        try scratch.write("s", [1])
        #expect(Self.set(AccessList.name, Self.list(user: 6, group: 0, mask: 6), of: scratch.at("s")))
        #expect(try FileFacts.at(CopyPath(scratch.at("s")))?.mode == 0o660)
        _ = try Copier().copy(from: .path(scratch.at("s")), to: .path(scratch.at("t")))
        #expect(try FileFacts.at(CopyPath(scratch.at("t")))?.mode == 0o600)
        let list = try #require(AccessList(Self.list(user: 6, group: 4, mask: 6)))
        #expect(list.limiting(0o4660) == 0o4640 && AccessList([1, 0, 0, 0]) == nil && AccessList([2, 0, 0]) == nil)
    }

    @Test(
        "new bytes from elsewhere do not stand under old set-id bits", arguments: [TargetTreatment.replace, .inPlace, .append])
    func setID(_ treatment: TargetTreatment) throws {
        let scratch = try Scratch()
        try scratch.write("b", [9])
        try Command.run(["chmod", "6755", scratch.at("b")])
        var options = CopyOptions()
        options.treatment = treatment
        _ = try Copier().copy(from: .zero(3), to: .path(scratch.at("b")), options)
        #expect(try FileFacts.at(CopyPath(scratch.at("b")))?.mode == 0o755)
    }

    @Test("set-id bits go where their owner goes", .enabled(if: Machine.hasOthers, Comment(rawValue: Machine.withoutOthers)))
    func owner() throws {
        let scratch = try Scratch()
        try scratch.write("prog", [1])
        try Command.shell("chmod 6755 prog; chmod 755 .; mkdir -m 777 his", folder: scratch.path)
        let other = try OtherUser()
        let answer = try other.run(["copy", "--preserve", scratch.at("prog"), scratch.at("his/copy")])
        #expect(answer.status == 0 && answer.errors.contains("instead of 0:0: only root may change the owner"), "\(answer)")
        #expect(try FileFacts.at(CopyPath(scratch.at("his/copy")))?.mode == 0o755)
        var options = CopyOptions()
        options.preserves = true
        _ = try Copier().copy(from: .path(scratch.at("prog")), to: .path(scratch.at("kept")), options)
        #expect(try FileFacts.at(CopyPath(scratch.at("kept")))?.mode == 0o6755)
    }
}
