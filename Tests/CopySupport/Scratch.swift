// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A folder of a test's own, gone with it.
public final class Scratch {
    public let path: String
    private var mounts: [String] = []
    private var loops: [String] = []

    public init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "dmactl-copy-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        for mount in mounts.reversed() { _ = try? Command.run(["umount", "-l", mount]) }
        for loop in loops { _ = try? Command.run(["losetup", "-d", loop]) }
        try? FileManager.default.removeItem(atPath: path)
    }

    public func at(_ name: String) -> String { path + "/" + name }

    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(filePath: at(name)))
        return at(name)
    }

    public func read(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(filePath: at(name)))) }

    public func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: at(name)) }

    /// Waits until a file has so many bytes; false after half a minute without.
    public func waits(until name: String, has bytes: Int) -> Bool {
        let end = Date() + 30
        while Date() < end {
            let size = (try? FileManager.default.attributesOfItem(atPath: at(name))[.size] as? Int) ?? 0
            if size >= bytes { return true }
            usleep(2000)
        }
        return false
    }

    /// Names in the folder, or one below it.
    public func names(_ folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? path : at(folder)).sorted()
    }

    // MARK: File systems

    /// A tmpfs at `name`, with mount options.
    @discardableResult
    public func tmpfs(_ name: String, _ options: String) throws -> String {
        try FileManager.default.createDirectory(atPath: at(name), withIntermediateDirectories: true)
        let answer = try Command.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at(name)])
        guard answer.status == 0 else { throw Missing("tmpfs: \(answer.errors)") }
        mounts.append(at(name))
        return at(name)
    }

    /// A loop device of so many bytes.
    public func loop(_ bytes: Int, name: String = "disk") throws -> String {
        _ = FileManager.default.createFile(atPath: at(name), contents: nil)
        guard unsafe truncate(at(name), bytes) == 0 else { throw Missing("a file of \(bytes) bytes") }
        let answer = try Command.run(["losetup", "--show", "-f", at(name)])
        guard answer.status == 0 else { throw Missing("losetup: \(answer.errors)") }
        let device = answer.text.trimmingCharacters(in: .whitespacesAndNewlines)
        loops.append(device)
        return device
    }

    /// A file system of `kind` on a loop device, mounted at `name`.
    @discardableResult
    public func mounted(_ kind: String, _ bytes: Int, _ name: String, make: [String] = [], options: String = "defaults") throws
        -> String
    {
        let device = try loop(bytes, name: name + ".disk")
        let made = try Command.run(["mkfs.\(kind)"] + make + [device])
        guard made.status == 0 else { throw Missing("mkfs.\(kind): \(made.errors)") }
        try FileManager.default.createDirectory(atPath: at(name), withIntermediateDirectories: true)
        let answer = try Command.run(["mount", "-o", options, device, at(name)])
        guard answer.status == 0 else { throw Missing("mount: \(answer.errors)") }
        mounts.append(at(name))
        return at(name)
    }

    public func bind(_ source: String, on target: String) throws {
        let answer = try Command.run(["mount", "--bind", source, target])
        guard answer.status == 0 else { throw Missing("mount --bind: \(answer.errors)") }
        mounts.append(target)
    }

    public struct Missing: Error, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = text }
    }
}

/// What the machine lets a test do.
public enum Machine {
    public static let isRoot = geteuid() == 0

    // Why a test is left out, and what makes it run.
    public static let withoutRoot = "not root, who alone can become another user; run as root"
    public static let withoutLoops =
        "no loop device to be had; run as root, with losetup and free loop devices (a container needs --privileged)"
    public static let withoutMounts = "no file system may be mounted; run as root (a container needs --privileged)"

    public static func has(_ program: String) -> Bool {
        (try? Command.run(["which", program]).status) == 0
    }

    /// Whether loop devices can be had: root in a container may not have them.
    public static let hasLoops: Bool = {
        guard isRoot, let scratch = try? Scratch() else { return false }
        return (try? scratch.loop(1 << 20)) != nil
    }()

    public static let canMount: Bool = {
        guard isRoot, let scratch = try? Scratch() else { return false }
        return (try? scratch.tmpfs("try", "size=1m")) != nil
    }()
}
