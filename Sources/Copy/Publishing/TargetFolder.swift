// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// The directory of a target: open, and looked at.
struct TargetFolder {
    let file: OpenFile
    let facts: FileFacts
    /// Which file system, by the magic number of statfs(2).
    let fileSystem: UInt64
    /// Whether it is /dev, or lies in it and on its file system: devices are there, and no files. What is mounted below it, as /dev/shm, has a
    /// device number of its own.
    let hasDevices: Bool

    init(_ path: CopyPath) throws(CopyFailure) {
        file = try OpenFile(directory: path)
        let facts = try file.facts()
        fileSystem = Room(file)?.kind ?? 0
        let devices = try RealPath.of(path).isBelow("/dev") ? try FileFacts.at("/dev") : nil
        hasDevices = devices?.device == facts.device
        self.facts = facts
    }

    private init(_ file: OpenFile, _ facts: FileFacts, _ fileSystem: UInt64, _ hasDevices: Bool) {
        (self.file, self.facts, self.fileSystem, self.hasDevices) = (file, facts, fileSystem, hasDevices)
    }

    /// The same directory as it is now; nil where its name leads to another one.
    func again(_ path: CopyPath) throws(CopyFailure) -> TargetFolder? {
        guard let now = try FileFacts.at(path), now.isSameFile(facts) else { return nil }
        return TargetFolder(file, now, fileSystem, hasDevices)
    }
}

/// What copies of one list use one after the other: the directory that the last one went to, and its block of memory.
final class CopySession {
    private var last: (path: CopyPath, folder: TargetFolder)?
    private var block: Buffer?

    /// The directory of a target.
    func folder(_ path: CopyPath) throws(CopyFailure) -> TargetFolder {
        if let last, last.path == path, let folder = try last.folder.again(path) { return folder }
        let folder = try TargetFolder(path)
        last = (path, folder)
        return folder
    }

    /// Lends a block of memory of this size or more.
    ///
    /// - Throws: what `body` throws; `outOfMemory`.
    func withBlock<Result>(
        _ count: Int, for name: String, _ body: (inout Buffer) throws(CopyFailure) -> Result
    ) throws(CopyFailure) -> Result {
        var taken = block.take()
        if let size = taken?.count, size < count { taken = nil }
        var buffer: Buffer
        if let kept = taken.take() {
            buffer = kept
        } else {
            do throws(DMAError) { buffer = try Buffer(count: count, alignment: 4096) } catch {
                throw .engine(name, error, to: "get memory for")
            }
        }
        let result: Result
        do throws(CopyFailure) { result = try body(&buffer) } catch {
            block = consume buffer
            throw error
        }
        block = consume buffer
        return result
    }
}
