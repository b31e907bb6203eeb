// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Glibc
import Testing

@testable import DMACopy

@Suite("The journal of an interrupted copy")
struct JournalTests {
    private func journal() throws -> ResumeJournal {
        let scratch = try Scratch()
        let source = try CopySource(opening: .path(try scratch.write("a", [1, 2, 3, 4])))
        var journal = try #require(ResumeJournal(of: source))
        journal.length = 3
        journal.crc = 0xdead_beef
        return journal
    }

    @Test("what is written is read again")
    func roundTrip() throws {
        let journal = try journal()
        #expect(ResumeJournal(journal.text) == journal)
        let scratch = try Scratch()
        let folder = try OpenFile(CopyPath(scratch.path), O_RDONLY, for: "a test")
        try journal.write(".j", in: folder)
        #expect(ResumeJournal.read(".j", in: folder) == journal)
        #expect(try scratch.names() == [".j"])
    }

    @Test("anything that is not a whole journal is none")
    func hostile() throws {
        let text = try journal().text
        for count in 0..<text.utf8.count { #expect(ResumeJournal(String(text.prefix(count))) == nil) }
        var random = Seeded("journal")
        for _ in 0..<2000 {
            var bytes = Array(text.utf8)
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0..<255, using: &random)
            if let journal = ResumeJournal(String(decoding: bytes, as: UTF8.self)) { #expect(journal.length <= journal.size) }
        }
        #expect(ResumeJournal(text.replacing("length 3", with: "length 5")) == nil)
        #expect(ResumeJournal(text + "more\n") == nil)
        #expect(ResumeJournal(String(repeating: "x", count: 5000)) == nil)
    }

    @Test("a source with another place, size or time is another source; how far a copy came says nothing of that")
    func sameSource() throws {
        let journal = try journal()
        let changes: [(inout ResumeJournal) -> Void] = [
            { $0.device += 1 }, { $0.inode += 1 }, { $0.size += 1 }, { $0.modified.seconds += 1 },
            { $0.modified.nanoseconds ^= 1 }, { $0.changed.seconds += 1 }, { $0.changed.nanoseconds ^= 1 }, { $0.medium += 1 },
        ]
        for change in changes {
            var other = journal
            change(&other)
            #expect(!journal.isOfSameSource(other) && !other.isOfSameSource(journal))
        }
        var further = journal
        (further.length, further.crc) = (1, 1)
        #expect(journal.isOfSameSource(further))
    }

    @Test("a journal goes with what a copy was killed over")
    func removed() throws {
        let scratch = try Scratch()
        let folder = try OpenFile(CopyPath(scratch.path), O_RDONLY, for: "a test")
        try journal().write(".j", in: folder)
        try scratch.write(".j-new", [1])
        try scratch.write("j", [1])
        ResumeJournal.remove(".j", in: folder)
        #expect(try scratch.names() == ["j"])
    }

    @Test("a journal behind a symbolic link is not read")
    func link() throws {
        let scratch = try Scratch()
        try scratch.write("real", Array(try journal().text.utf8))
        try Command.run(["ln", "-s", "real", scratch.at(".j")])
        let folder = try OpenFile(CopyPath(scratch.path), O_RDONLY, for: "a test")
        #expect(ResumeJournal.read(".j", in: folder) == nil && ResumeJournal.read("real", in: folder) != nil)
    }
}
