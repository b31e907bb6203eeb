// SPDX-License-Identifier: Apache-2.0

import DMADriverKit
import DMATestSupport
import Foundation
import Testing

@Suite("The holder of a device")
struct HolderTests {
    private func holder(_ path: String, _ processes: String = "/proc", limit: Deadline = .after(milliseconds: 10_000))
        -> DeviceHolder
    {
        DeviceHolder.of(path, processes: processes, until: limit)
    }

    @Test("another process that has the file open is found, by any of its names, and this one is not")
    func process() throws {
        let scratch = try Scratch()
        let path = scratch.at("node")
        try Data("x".utf8).write(to: URL(filePath: path))
        try FileManager.default.createSymbolicLink(atPath: scratch.at("name"), withDestinationPath: path)
        let own = try #require(FileHandle(forReadingAtPath: path))
        if case .process(let number) = holder(path) { Issue.record("held by \(number)") }
        let child = try Command.start(["sh", "-c", "exec 9<\"$1\"; exec sleep 600", "sh", scratch.at("name")])
        #expect(child.opens { $0.hasSuffix("/node") })
        let number = child.identifier
        #expect(holder(path) == .process(number))
        #expect(DeviceHolder.busy(path) == DMAError(.deviceBusy, asked: UInt64(number)))
        child.signal(SIGTERM)
        #expect(child.wait().isKilled)
        #expect(holder(path) != .process(number))
        #expect(DeviceHolder.busy(path).code == .deviceBusy)
        try own.close()
    }

    @Test("a device is identified by its number, whatever its node's name")
    func nodes() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.at("4711/fd"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: scratch.at("4711/fd/3"), withDestinationPath: "/dev/null")
        #expect(holder("/proc/self/root/dev/null", scratch.path) == .process(4711))
        #expect(holder("/dev/zero", scratch.path) == .nobody)
    }

    @Test("no and not-known are distinguished")
    func unknown() throws {
        let scratch = try Scratch()
        let path = scratch.at("node")
        try Data().write(to: URL(filePath: path))
        for folder in ["processes/10/fd", "processes/nonsense/fd", "processes/-3/fd", "processes/99999999999/fd"] {
            try FileManager.default.createDirectory(atPath: scratch.at(folder), withIntermediateDirectories: true)
        }
        try FileManager.default.createSymbolicLink(atPath: scratch.at("processes/nonsense/fd/3"), withDestinationPath: path)
        try FileManager.default.createSymbolicLink(atPath: scratch.at("processes/10/fd/0"), withDestinationPath: "pipe:[1]")
        // Ended between the listing and the check: no such directory.
        try FileManager.default.createDirectory(atPath: scratch.at("processes/11"), withIntermediateDirectories: true)
        #expect(holder(path, scratch.at("processes")) == .nobody)
        // A process that hides its descriptors: the error is another than "no such file".
        try FileManager.default.createDirectory(atPath: scratch.at("processes/12"), withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: scratch.at("processes/12/fd")))
        #expect(holder(path, scratch.at("processes")) == .unknown)
        try FileManager.default.createSymbolicLink(atPath: scratch.at("processes/10/fd/7"), withDestinationPath: path)
        #expect(holder(path, scratch.at("processes")) == .process(10))
        #expect(holder(path, scratch.at("processes"), limit: .now) == .unknown)
        #expect(holder(scratch.at("gone"), scratch.at("processes")) == .unknown)
        #expect(holder(path, scratch.at("nowhere")) == .unknown)
        #expect(DeviceHolder.busy(scratch.at("gone")) == DMAError(.deviceBusy))
    }
}
