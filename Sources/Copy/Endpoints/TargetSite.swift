// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Where a copy is to go, looked at and not yet touched.
enum TargetSite {
    /// This process takes the bytes.
    case local(Endpoint)
    /// Written in order, once; open already where it is standard output.
    case stream(OpenFile?, String, FileFacts)
    /// A block device, not yet open.
    case device(String, FileFacts)
    /// A regular file, there or not.
    case file(FileSite)

    init(_ endpoint: Endpoint, source: CopySource) throws(CopyFailure) {
        switch endpoint {
        case .memory, .null, .pattern: self = .local(endpoint)
        case .zero:
            throw CopyFailure(
                .badEndpoint, endpoint.description, asked: "to write into zeroes", possible: "to read them",
                cure: "use null: to drop what comes")
        case .standard:
            let file = OpenFile(1, path: "-", isOwned: false)
            let facts = try file.facts()
            try Self.refuseSame(source, facts, "-")
            self = .stream(file, "-", facts)
        case .descriptor(let number):
            let file = OpenFile(number, path: endpoint.description, isOwned: false)
            let facts = try file.facts()
            try Self.refuseSame(source, facts, endpoint.description)
            self = .stream(file, endpoint.description, facts)
        case .path(let path):
            try self.init(path: path, source: source)
        }
    }

    private init(path: String, source: CopySource) throws(CopyFailure) {
        guard let facts = try FileFacts.at(path) else {
            if let link = try FileFacts.at(path, follow: false), link.kind == .other {
                throw CopyFailure(
                    .danglingLink, path, asked: "to write through a symbolic link", possible: "not one that leads nowhere",
                    cure: "remove it, or name the file that it should lead to")
            }
            if PathText.endsInSlash(path) {
                throw CopyFailure(
                    .notFound, path, asked: "a file in this directory", possible: "no such directory",
                    cure: "mkdir -p it first",
                    errno: ENOENT)
            }
            self = .file(try FileSite(path, existing: nil))
            return
        }
        try Self.refuseSame(source, facts, path)
        switch facts.kind {
        case .regular: self = .file(try FileSite(try RealPath.of(path), existing: facts))
        case .directory:
            guard case .path(let sourcePath) = source.endpoint, let name = PathText.parts(sourcePath).last else {
                throw CopyFailure(
                    .isDirectory, path, asked: "to write a directory", possible: "a file in it",
                    cure: "name the file: \(path)/NAME")
            }
            let inside = PathText.joined(path, name)
            if let deeper = try FileFacts.at(inside), deeper.kind == .directory {
                throw CopyFailure(
                    .isDirectory, inside, asked: "to write a directory", possible: "a file in it", cure: "name the file")
            }
            try self.init(path: inside, source: source)
        case .block:
            self = .device(path, facts)
        case .pipe, .character, .socket:
            self = .stream(nil, path, facts)
        case .other:
            throw CopyFailure(
                .notSupported, path, asked: "to write it", possible: "files, devices, pipes", cure: "name one of those")
        }
    }

    /// A pipe without a reader is waited for, in steps.
    static func openStream(_ path: String, _ facts: FileFacts, _ control: CopyControl) throws(CopyFailure) -> OpenFile {
        // SAFETY: the path ends with a zero and lives until the call returns.
        while true {
            let result = unsafe cdma_open(AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0)
            if result == -ENXIO, facts.kind == .pipe {
                if control.isCancelled { throw .cancelled(path, after: 0) }
                cdma_sleep_until(CopyClock.after(milliseconds: 20))
                continue
            }
            guard result >= 0 else { throw .opening(path, result, for: "to write it") }
            let file = OpenFile(result, path: path)
            file.makeBlocking()
            return file
        }
    }

    private static func refuseSame(_ source: CopySource, _ facts: FileFacts, _ path: String) throws(CopyFailure) {
        guard let other = source.facts, other.kind.hasPlaces, other.isSameFile(facts) else { return }
        throw CopyFailure(
            .sameFile, path, asked: "to copy \(source.name) onto itself",
            possible: "two different files: these names lead to one",
            cure: "name another target; ls -li shows the number that both have")
    }

    /// What the target is called in messages.
    var name: String {
        switch self {
        case .local(let endpoint): endpoint.description
        case .stream(_, let path, _): path
        case .device(let path, _): path
        case .file(let site): site.path
        }
    }
}

/// A regular file that is to be written: which directory, which name, and what is there now.
struct FileSite {
    /// With every symbolic link followed, where the file is there.
    let path: String
    let directory: String
    let name: String
    let existing: FileFacts?

    init(_ path: String, existing: FileFacts?) throws(CopyFailure) {
        self.path = path
        self.existing = existing
        var parts = PathText.parts(path, keepsEmpty: true)
        name = parts.removeLast()
        let folder = parts.joined(separator: "/")
        directory = folder.isEmpty ? (PathText.isAbsolute(path) ? "/" : ".") : folder
        guard !name.isEmpty, name != ".", name != ".." else {
            throw CopyFailure(.badEndpoint, path, asked: "this file", possible: "a file's name", cure: "name the file")
        }
    }
}

enum RealPath {
    /// The path with every symbolic link followed.
    static func of(_ path: String) throws(CopyFailure) -> String {
        // SAFETY: the C function writes at most the capacity that it is told, and says how many bytes count.
        var length: Int64 = 0
        let bytes = unsafe [CChar](unsafeUninitializedCapacity: 8192) { buffer, filled in
            // The C function writes at most `capacity` bytes and says how many count.
            length = unsafe cdma_real_path(path, buffer.baseAddress, buffer.count)
            filled = max(0, Int(length))
        }
        guard length >= 0 else { throw .opening(path, Int32(length), for: "the file behind this name") }
        return String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

enum CopyClock {
    /// A moment of the monotonic clock.
    static func after(milliseconds: Int64) -> Int64 { cdma_monotonic_nanoseconds() + milliseconds * 1_000_000 }
    static var now: Int64 { cdma_monotonic_nanoseconds() }
    /// Processor time of the process, all threads.
    static var processor: Int64 { cdma_process_nanoseconds() }
}
