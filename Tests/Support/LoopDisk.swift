// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A disk backed by a file, with a file system on request. Needs root; see ``Machine/hasLoops``.
public final class LoopDisk: Sendable {
    /// The block device.
    public let device: String
    /// The mount point, or "".
    public let directory: String
    /// The file that the disk is made of, which goes with it; nil where it is not the disk's own.
    private let image: String?
    private let isUp = Atomic(true)

    /// - Parameters:
    ///   - count: bytes.
    ///   - fileSystem: such as "ext4", made and mounted; nil for none.
    ///   - path: the mount point, which is created; its image lies beside it, as `.disk`. nil: a directory of its own.
    ///   - make: options of mkfs.
    ///   - options: of the mount.
    public init(
        count: Int, fileSystem: String? = nil, at path: String? = nil, make: [String] = ["-q"], options: String = "defaults"
    ) throws {
        let path = path ?? FileManager.default.temporaryDirectory.appending(path: "dma-loop-\(UUID().uuidString)").path
        let image = path + ".disk"
        self.image = image
        directory = fileSystem == nil ? "" : path
        guard FileManager.default.createFile(atPath: image, contents: nil), unsafe truncate(image, count) == 0 else {
            throw Machine.Missing("no file of \(count) bytes")
        }
        do {
            device = try Self.must(["losetup", "--show", "-f", image]).trimmingCharacters(in: .whitespacesAndNewlines)
        } catch {
            _ = unsafe unlink(image)
            throw error
        }
        // Any error from here on ends the disk.
        guard let fileSystem else { return }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Self.must(["mkfs.\(fileSystem)"] + make + [device])
        try Self.must(["mount", "-o", options, device, directory])
    }

    /// A disk of a file that is there, and stays, which is not written.
    public init(readOnly path: String) throws {
        (image, directory) = (nil, "")
        device = try Self.must(["losetup", "--read-only", "--show", "-f", path]).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    deinit { end() }

    /// Takes the disk down, once none of its files is open any more. Defer it right after the disk was made: that keeps it up
    /// until then.
    public func end() {
        guard isUp.exchange(false, ordering: .acquiringAndReleasing) else { return }
        if !directory.isEmpty {
            _ = try? Command.run(["umount", "--lazy", directory])
            _ = unsafe rmdir(directory)
        }
        _ = try? Command.run(["losetup", "-d", device])
        if let image { _ = unsafe unlink(image) }
    }

    @discardableResult
    private static func must(_ words: [String]) throws -> String {
        let answer = try Command.run(words)
        guard answer.status == 0 else { throw Machine.Missing("\(words[0]): \(answer.errors)") }
        return answer.output
    }
}
