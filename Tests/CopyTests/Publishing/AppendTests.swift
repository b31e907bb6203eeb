// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMATestSupport
import Foundation
import Testing

@testable import DMACopy

@Suite("Files that are appended to, and others who write to them", .serialized)
struct AppendTests {
    private var appending: CopyOptions {
        var options = CopyOptions()
        options.treatment = .append
        return options
    }

    private func append(_ text: String, to path: String) {
        guard let file = FileHandle(forUpdatingAtPath: path) else { return }
        _ = try? file.seekToEnd()
        try? file.write(contentsOf: Data(text.utf8))
        try? file.close()
    }

    @Test("a line that another appends meanwhile stays, and so does every byte of the copy", arguments: [nil, "io_uring"])
    func line(_ engine: String?) throws {
        let scratch = try Scratch()
        try scratch.write("log", Array("start\n".utf8))
        try Command.shell("$D copy pattern:5:3000000 a", folder: scratch.path)
        var options = appending
        (options.engine, options.chunk) = (engine, 65_536)
        let log = scratch.at("log")
        let told = Locked(0)
        let control = CopyControl { progress in
            let isWanted = told.withLock { count in
                guard progress.phase == .copying, count < 2 else { return false }
                count += 1
                return true
            }
            if isWanted { append("MARK\n", to: log) }
        }
        let report = try Copier().copy(from: .path(scratch.at("a")), to: .path(log), options, control: control)
        let marks = told.withLock { $0 }
        #expect(report.bytes == 3_000_000 && marks > 0)
        let found = try scratch.read("log")
        #expect(found.count == 6 + 3_000_000 + 5 * marks)
        // Without the marks it is what it was, and the copy.
        var rest = found[...]
        var kept: [UInt8] = []
        while let place = rest.firstRange(of: Array("MARK\n".utf8)) {
            kept += rest[..<place.lowerBound]
            rest = rest[place.upperBound...]
        }
        #expect(try Array(kept + rest) == Array("start\n".utf8) + scratch.read("a"))
    }

    @Test("copies at once append one after the other")
    func both() throws {
        let scratch = try Scratch()
        let letters = Array("abcd".utf8)
        for letter in letters { try scratch.write("\(letter)", [UInt8](repeating: letter, count: 1 << 20)) }
        let (appending, path) = (appending, scratch.path)
        let failures = Locked<[CopyFailure]>([])
        DispatchQueue.concurrentPerform(iterations: letters.count) { number in
            do throws(CopyFailure) {
                _ = try Copier().copy(from: .path("\(path)/\(letters[number])"), to: .path(path + "/log"), appending)
            } catch { failures.withLock { $0.append(error) } }
        }
        #expect(failures.withLock { $0 }.isEmpty)
        let found = try scratch.read("log")
        #expect(found.count == 4 << 20)
        // Each in one piece.
        let changes = zip(found, found.dropFirst()).filter { $0 != $1 }.count
        #expect(changes == 3)
    }

    @Test("a log that is rotated while a copy waits for its lock is not written, nor is the file that has its name now")
    func rotated() throws {
        let scratch = try Scratch()
        try scratch.write("log", [1])
        try scratch.write("a", [2])
        let holder = try #require(FileHandle(forUpdatingAtPath: scratch.at("log")))
        #expect(flock(holder.fileDescriptor, LOCK_EX) == 0)
        let (appending, path) = (appending, scratch.path)
        let code = Locked<CopyFailure.Code?>(nil)
        let group = DispatchGroup()
        group.enter()
        Thread.detachNewThread {
            do throws(CopyFailure) {
                _ = try Copier().copy(from: .path(path + "/a"), to: .path(path + "/log"), appending)
            } catch { code.withLock { $0 = error.code } }
            group.leave()
        }
        // It waits once the file is open twice.
        let file = scratch.at("log")
        func isOpenTwice() -> Bool {
            let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
            let paths = numbers.map { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0) }
            return paths.count { $0?.hasSuffix(file) ?? false } == 2
        }
        for _ in 0..<500 where !isOpenTwice() { usleep(20_000) }
        #expect(isOpenTwice())
        #expect(unsafe rename(file, file + ".1") == 0)
        try scratch.write("log", [3])
        try holder.close()
        group.wait()
        #expect(code.withLock { $0 } == .held)
        #expect(try scratch.read("log") == [3] && scratch.read("log.1") == [1])
    }

    @Test("what a failed copy has appended is cut off, but not where others have the file open or have written")
    func failed() throws {
        let copier = Copier(system: DMASystem(providers: [FaultyProvider(.write(at: 600_000, errno: 5))]))
        for stranger in ["none", "reads", "wrote"] {
            let scratch = try Scratch()
            try scratch.write("log", Array("start\n".utf8))
            try scratch.write("a", [UInt8](repeating: 7, count: 1_000_000))
            var options = appending
            (options.engine, options.chunk) = ("faulty", 65_536)
            let log = scratch.at("log")
            let reader = stranger == "reads" ? FileHandle(forReadingAtPath: log) : nil
            let control = CopyControl { progress in
                if stranger == "wrote", progress.phase == .copying, progress.bytes == 0 { append("MARK\n", to: log) }
            }
            do throws(CopyFailure) {
                _ = try copier.copy(from: .path(scratch.at("a")), to: .path(log), options, control: control)
                Issue.record("copied over a write error")
            } catch {
                #expect(error.code == .writeFailed && error.errno == 5)
                let left = error.notes.filter { $0.contains(" of the copy after the old end at byte 6") }
                #expect(left.count == (stranger == "none" ? 0 : 1), "\(stranger): \(error.notes)")
            }
            let found = try scratch.read("log")
            if stranger == "none" { #expect(found == Array("start\n".utf8)) }
            if stranger == "wrote" { #expect(found.contains(Array("MARK\n".utf8))) }
            #expect(found.starts(with: Array("start\n".utf8)))
            try? reader?.close()
        }
    }

    @Test("a file that may only grow is appended to", .enabled(if: FileFlags.areThere, Comment(rawValue: FileFlags.without)))
    func appendOnly() throws {
        let scratch = try FileFlags.scratch()
        try scratch.write("only", [1])
        try scratch.write("a", [2, 3])
        try Command.run(["chattr", "+a", scratch.at("only")])
        _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("only")), appending)
        #expect(try scratch.read("only") == [1, 2, 3])
        expectCode(.notPermitted) { _ = try Copier().copy(from: .path(scratch.at("a")), to: .path(scratch.at("only"))) }
    }
}
