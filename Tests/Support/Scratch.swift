// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A directory for one test, deleted with this value.
public final class Scratch {
    public let path: String
    /// Mounts and devices to be released, the last first.
    private var ends: [() -> Void] = []

    public init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "dmactl-copy-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        for end in ends.reversed() { end() }
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Runs before the directory is deleted.
    public func `defer`(_ end: @escaping () -> Void) { ends.append(end) }

    public func at(_ name: String) -> String { path + "/" + name }

    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(filePath: at(name)))
        return at(name)
    }

    public func read(_ name: String) throws -> [UInt8] { try FileBytes.read(at(name)) }

    public func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: at(name)) }

    /// Waits until a file has that many bytes; false after half a minute without progress.
    public func waits(until name: String, has bytes: Int) -> Bool {
        let end = Date() + 60
        while Date() < end {
            let size = (try? FileManager.default.attributesOfItem(atPath: at(name))[.size] as? Int) ?? 0
            if size >= bytes { return true }
            usleep(2000)
        }
        return false
    }

    /// Names in the directory, or in one below it.
    public func names(_ folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? path : at(folder)).sorted()
    }

    // MARK: File systems

    /// A tmpfs at `name`, with mount options.
    @discardableResult
    public func tmpfs(_ name: String, _ options: String) throws -> String {
        try FileManager.default.createDirectory(atPath: at(name), withIntermediateDirectories: true)
        try mount(["-t", "tmpfs", "-o", options, "tmpfs"], at(name))
        return at(name)
    }

    /// A loop device of that many bytes, whose file is `name` and `.disk`.
    public func loop(_ bytes: Int, name: String = "loop") throws -> String {
        try keep(LoopDisk(count: bytes, at: at(name))).device
    }

    /// A file system of `kind` on a loop device, mounted at `name`; its file is `name` and `.disk`.
    @discardableResult
    public func mounted(_ kind: String, _ bytes: Int, _ name: String, make: [String] = ["-q"], options: String = "defaults")
        throws
        -> String
    {
        try keep(LoopDisk(count: bytes, fileSystem: kind, at: at(name), make: make, options: options)).directory
    }

    public func bind(_ source: String, on target: String) throws { try mount(["--bind", source], target) }

    private func keep(_ disk: LoopDisk) -> LoopDisk {
        ends.append { disk.end() }
        return disk
    }

    private func mount(_ words: [String], _ target: String) throws {
        let answer = try Command.run(["mount"] + words + [target])
        guard answer.status == 0 else { throw Machine.Missing("mount: \(answer.errors)") }
        ends.append { _ = try? Command.run(["umount", "-l", target]) }
    }
}
