// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// The directory of a target, open.
struct TargetFolder {
    let file: OpenFile
    let facts: FileFacts
    /// The type of its file system, by the magic number of statfs(2).
    let fileSystem: UInt64
    /// Whether it is /dev or below it on the same file system, where only devices belong. What is mounted below it, such as /dev/shm, has another
    /// device number.
    let hasDevices: Bool
    /// The names in it that a copy may have left behind, when it was read; nil where it was not.
    private(set) var leftovers: Set<CopyPath>?

    init(_ path: CopyPath) throws(CopyFailure) {
        file = try OpenFile(directory: path)
        let facts = try file.facts()
        fileSystem = Room(file)?.kind ?? 0
        let devices = try RealPath.of(path).isBelow("/dev") ? try FileFacts.at("/dev") : nil
        hasDevices = devices?.device == facts.device
        self.facts = facts
    }

    private init(_ folder: TargetFolder, _ facts: FileFacts) {
        (file, self.facts, fileSystem) = (folder.file, facts, folder.fileSystem)
        (hasDevices, leftovers) = (folder.hasDevices, folder.leftovers)
    }

    /// The same directory with current facts; nil where its path leads to another one now.
    func again(_ path: CopyPath) throws(CopyFailure) -> TargetFolder? {
        guard let now = try FileFacts.at(path), now.isSameFile(facts) else { return nil }
        return TargetFolder(self, now)
    }
}

extension TargetFolder {
    /// Reads the names in it once, so that many copies to it need not look for each name that might be left behind.
    mutating func readLeftovers(_ path: CopyPath) {
        let names = Folder.names(path) { $0.bytes.first == UInt8(ascii: ".") && OpenTarget.isHidden($0) }
        leftovers = names.map { Set($0) }
    }
}

/// What the copies of one list share: the last target directory, and a block of memory.
final class CopySession {
    private var last: (path: CopyPath, folder: TargetFolder, uses: Int)?
    /// Copies to one directory after which it is read: for fewer, looking for each name takes less time.
    private static let many = 16
    private var block: Buffer?

    /// The directory of a target.
    func folder(_ path: CopyPath) throws(CopyFailure) -> TargetFolder {
        if let known = last, known.path == path, var folder = try known.folder.again(path) {
            if known.uses == Self.many { folder.readLeftovers(path) }
            last = (path, folder, known.uses + 1)
            return folder
        }
        let folder = try TargetFolder(path)
        last = (path, folder, 1)
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
                throw .engine(name, error, to: "allocate memory for")
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
