// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import ForbiddenSystemCalls
import Foundation
import Testing

@testable import DMACopy

@Suite("Many files at once, and the directories that they need", .serialized)
struct ListTests {
    /// Copies files of `s` below `t`, as `dmactl copy --files-from` does.
    private func copy(
        _ paths: [String], _ scratch: Scratch, _ options: CopyOptions = CopyOptions(), control: CopyControl = CopyControl()
    ) throws -> [CopyBatch.Outcome] {
        let folders = ListFolders(below: CopyPath(scratch.at("t")), preserves: options.preserves)
        var batch = CopyBatch(Copier(), options)
        var outcomes: [CopyBatch.Outcome] = []
        for path in paths {
            let target = try folders.place(CopyPath(path))
            outcomes += batch.add(CopyPath(scratch.at("s/" + path)), to: target, control)
        }
        outcomes += batch.finish(control)
        #expect(folders.finish().isEmpty)
        return outcomes
    }

    @Test("every file of several batches is there, with its mode, and nothing else; each outcome comes in the list's order")
    func batches() throws {
        let scratch = try Scratch()
        try Command.shell(
            "mkdir s t; for i in $(seq 600); do echo $i > s/$i; done; head -c 20000000 /dev/zero > s/large; chmod 640 s/7; mkfifo s/pipe",
            folder: scratch.path)
        var names = (1...600).map(String.init)
        names.insert("large", at: 300)
        names.insert("none", at: 10)
        try Command.run(["mkdir", scratch.at("t/9")])
        let outcomes = try copy(names, scratch)
        #expect(outcomes.count == 602)
        // Refused ones are known at once, those that wait later.
        let copied = outcomes.filter { if case .success = $0.result { true } else { false } }.map {
            $0.target.parts().last?.text
        }
        #expect(copied == names.filter { $0 != "none" && $0 != "9" })
        for name in ["1", "300", "600"] { #expect(try scratch.read("t/" + name) == Array((name + "\n").utf8)) }
        #expect(try FileFacts.at(CopyPath(scratch.at("t/7")))?.mode == 0o640)
        #expect(try scratch.names("t").count == 601 && scratch.names("t/9").isEmpty)
    }

    @Test("who asks for the end has none of the files that had no name yet")
    func cancelled() throws {
        let scratch = try Scratch()
        try Command.shell("mkdir s t; for i in $(seq 20); do echo $i > s/$i; done; echo old > t/3", folder: scratch.path)
        let control = CopyControl()
        let folders = ListFolders(below: CopyPath(scratch.at("t")), preserves: false)
        var batch = CopyBatch(Copier(), CopyOptions())
        for number in 1...20 {
            #expect(
                try batch.add(CopyPath(scratch.at("s/\(number)")), to: folders.place(CopyPath("\(number)")), CopyControl())
                    .isEmpty)
        }
        control.cancel()
        let outcomes = batch.finish(control)
        #expect(outcomes.count == 20)
        for outcome in outcomes {
            guard case .failure(let failure) = outcome.result else {
                Issue.record("\(outcome.source) was copied")
                continue
            }
            #expect(failure.code == .cancelled)
        }
        #expect(try scratch.names("t") == ["3"] && scratch.read("t/3") == Array("old\n".utf8))
    }

    @Test("directories that are made get the mode of the source's, once all is in them; kept ones owner and times too")
    func folders() throws {
        let scratch = try Scratch()
        try Command.shell(
            """
            mkdir -p s/private/open t; echo 1 > s/private/open/f; chmod 750 s/private/open; chmod 700 s/private
            touch -d 2001-02-03 s/private/open s/private
            """, folder: scratch.path)
        for preserves in [false, true] {
            var options = CopyOptions()
            options.preserves = preserves
            // Below the folder that the list was made in.
            let old = FileManager.default.currentDirectoryPath
            let folders = ListFolders(below: CopyPath(scratch.at("t")), preserves: preserves)
            var batch = CopyBatch(Copier(), options)
            let path = CopyPath(scratch.at("s/private/open/f"))
            let target = try folders.place(path)
            #expect(try FileFacts.at(CopyPath(target.text.replacing("/open/f", with: "")))?.mode == 0o700)
            _ = batch.add(path, to: target, CopyControl())
            for outcome in batch.finish(CopyControl()) { #expect(throws: Never.self) { try outcome.result.get() } }
            #expect(folders.finish().isEmpty && FileManager.default.currentDirectoryPath == old)
            let copy = scratch.at("t") + scratch.at("s/private")
            let (outer, inner) = (try FileFacts.at(CopyPath(copy)), try FileFacts.at(CopyPath(copy + "/open")))
            #expect(outer?.mode == 0o700 && inner?.mode == 0o750)
            let source = try FileFacts.at(CopyPath(scratch.at("s/private")))
            #expect((outer?.modified == source?.modified) == preserves && (inner?.modified == source?.modified) == preserves)
            try Command.run(["rm", "-r", scratch.at("t")])
            try Command.run(["mkdir", scratch.at("t")])
        }
    }

    @Test("names of one file are names of one copy where attributes are kept, and files of their own where not")
    func links() throws {
        let scratch = try Scratch()
        try Command.shell("mkdir -p s/d t; echo 1 > s/a; ln s/a s/d/b; ln s/a s/c; echo 2 > s/x", folder: scratch.path)
        for preserves in [false, true] {
            var options = CopyOptions()
            options.preserves = preserves
            for outcome in try copy(["a", "x", "d/b", "c"], scratch, options) {
                #expect(throws: Never.self) { try outcome.result.get() }
            }
            let facts = try ["a", "d/b", "c", "x"].map { try #require(try FileFacts.at(CopyPath(scratch.at("t/" + $0)))) }
            #expect(facts.map(\.links) == (preserves ? [3, 3, 3, 1] : [1, 1, 1, 1]))
            #expect(Set(facts.map(\.inode)).count == (preserves ? 2 : 4))
            #expect(try scratch.read("t/c") == Array("1\n".utf8) && scratch.names("t") == ["a", "c", "d", "x"])
        }
    }

    @Test("names are one file's, and two files': a list may have the first twice")
    func same() throws {
        let scratch = try Scratch()
        try Command.shell("echo 1 > a; echo 2 > b", folder: scratch.path)
        let path = CopyPath(scratch.path)
        #expect(try CopyList.isSameFile(path.joined("a"), path.joined(".").joined("a")))
        #expect(try !CopyList.isSameFile(path.joined("a"), path.joined("b")))
        #expect(try !CopyList.isSameFile(path.joined("a"), path.joined("none")))
    }
}
