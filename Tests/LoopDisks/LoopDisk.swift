// SPDX-License-Identifier: Apache-2.0

internal import Foundation

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A disk made of a file, with a file system on it where one is wished; taken down by ``end()``. Needs root.
public final class LoopDisk: Sendable {
    /// The block device.
    public let device: String
    /// Where its file system is mounted, or "".
    public let directory: String
    private let image: String

    /// Whether disks can be made here: root, losetup and a free loop device.
    public static let isPossible: Bool = {
        guard getuid() == 0 else { return false }
        return output(["losetup", "-f"]) != nil
    }()
    /// Why not, where not.
    public static let reason =
        "no disk of a file to be had; run as root, with losetup and free loop devices (a container needs --privileged)"

    /// A disk of `count` bytes; with `fileSystem`, such as "ext4", mounted.
    public init(count: Int, fileSystem: String? = nil) throws {
        let name = "\(FileManager.default.temporaryDirectory.path)/dma-loop-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        image = name + ".image"
        guard FileManager.default.createFile(atPath: image, contents: nil), unsafe truncate(image, off_t(count)) == 0,
            let device = Self.output(["losetup", "-f", "--show", image])
        else { throw CocoaError(.fileWriteUnknown) }
        self.device = device
        guard let fileSystem else {
            directory = ""
            return
        }
        directory = name
        try FileManager.default.createDirectory(atPath: name, withIntermediateDirectories: false)
        guard Self.output(["mkfs.\(fileSystem)", "-q", device]) != nil, Self.output(["mount", device, name]) != nil else {
            throw CocoaError(.fileWriteUnknown)
        }
    }

    /// Takes the disk down, as soon as nobody has a file of it open any more. To be deferred right after the disk was made:
    /// that is what keeps it up until then.
    public func end() {
        if !directory.isEmpty {
            _ = Self.output(["umount", "--lazy", directory])
            _ = rmdir(directory)
        }
        _ = Self.output(["losetup", "-d", device])
        _ = unlink(image)
    }

    private func rmdir(_ path: String) -> Int32 { unsafe Glibc.rmdir(path) }
    private func unlink(_ path: String) -> Int32 { unsafe Glibc.unlink(path) }

    private static func output(_ arguments: [String]) -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin:" + (environment["PATH"] ?? "")
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { return nil }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
