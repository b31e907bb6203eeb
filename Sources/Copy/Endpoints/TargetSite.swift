// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The target of a copy, examined and not yet opened for writing.
enum TargetSite {
    /// An end in this process.
    case local(Endpoint)
    /// Written in order, once; already open where it is standard output or a descriptor.
    case stream(OpenFile?, CopyPath, FileFacts)
    /// A block device, not yet open.
    case device(CopyPath, FileFacts)
    /// A regular file, which may not exist.
    case file(FileSite)

    /// - Parameter isExact: whether the path names the file itself, and never a directory to put it in.
    init(_ endpoint: Endpoint, source: CopySource, isExact: Bool = false) throws(CopyFailure) {
        switch endpoint {
        case .buffer, .memory, .null, .pattern: self = .local(endpoint)
        case .zero:
            throw CopyFailure(
                .badEndpoint, endpoint.description, asked: "write", possible: "it can only be read",
                cure: "Use null: to discard the data.")
        case .standard: try self.init(open: 1, "-", source)
        case .descriptor(let number): try self.init(open: number, CopyPath(endpoint.description), source)
        case .path(let path):
            try path.check()
            try self.init(path: path, source: source, isExact: isExact)
        }
    }

    private init(open number: Int32, _ name: CopyPath, _ source: CopySource) throws(CopyFailure) {
        let file = OpenFile(number, path: name.text, isOwned: false)
        try file.checkIsOpen(toWrite: true)
        let facts = try file.facts()
        try Self.refuseSame(source, facts, name)
        self = .stream(file, name, facts)
    }

    private init(path: CopyPath, source: CopySource, isExact: Bool) throws(CopyFailure) {
        // Most paths lead to no link, and need not be followed.
        let named = try FileFacts.at(path, follow: false)
        guard let facts = named?.kind == .other ? try FileFacts.at(path) : named else {
            if named != nil {
                throw CopyFailure(
                    .danglingLink, path.text, asked: "write through",
                    possible: "it is a symbolic link to a file that does not exist",
                    cure: "Remove it, or name the file that it should lead to.")
            }
            if path.endsInSlash {
                throw CopyFailure(
                    .notFound, path.text, asked: "write into", possible: "no such directory",
                    cure: "Create it first with mkdir -p.",
                    errno: ENOENT)
            }
            self = .file(try FileSite(path, existing: nil))
            return
        }
        try Self.refuseSame(source, facts, path)
        switch facts.kind {
        case .regular: self = .file(try FileSite(try RealPath.of(path), existing: facts))
        case .directory:
            guard !isExact, case .path(let sourcePath) = source.endpoint, let name = sourcePath.parts().last else {
                throw CopyFailure(
                    .isDirectory, path.text, asked: "write", possible: "it is a directory",
                    cure: "Name the file in it: \(CopyFailure.quoted(path.joined("NAME").text)).")
            }
            let inside = path.joined(name)
            try self.init(path: inside, source: source, isExact: true)
        case .block:
            self = .device(path, facts)
        case .pipe, .character, .socket:
            self = .stream(nil, path, facts)
        case .other:
            throw CopyFailure(
                .notSupported, path.text, asked: "write", possible: "it is not a file, device or pipe",
                cure: "Name one of those.")
        }
    }

    /// Opens a stream. Waits in steps for the reader of a pipe.
    static func openStream(_ path: CopyPath, _ facts: FileFacts, _ control: CopyControl) throws(CopyFailure) -> OpenFile {
        // SAFETY: the path ends with a zero and lives until the call returns.
        while true {
            let result = unsafe cdma_open(AT_FDCWD, path.cString, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0)
            if result == -ENXIO, facts.kind == .pipe {
                if control.isCancelled { throw .cancelled(path.text, after: 0) }
                cdma_sleep_until(CopyClock.after(milliseconds: 20))
                continue
            }
            guard result >= 0 else { throw .opening(path.text, result, to: "write") }
            let file = OpenFile(result, path: path.text)
            try refuseExchanged(file, facts)
            file.makeBlocking()
            return file
        }
    }

    /// - Throws: `held` where the path leads to another file than when it was examined.
    static func refuseExchanged(_ file: OpenFile, _ looked: FileFacts) throws(CopyFailure) {
        let now = try file.facts()
        guard now.kind != looked.kind || !now.isSameFile(looked) else { return }
        throw CopyFailure(
            .held, file.path, asked: "write", possible: "another file got this name in the meantime",
            cure: "Run it again while no other process changes the directory.")
    }

    private static func refuseSame(_ source: CopySource, _ facts: FileFacts, _ path: CopyPath) throws(CopyFailure) {
        guard let other = source.facts, other.kind.hasPlaces, other.isSameFile(facts) else { return }
        throw CopyFailure(
            .sameFile, path.text, asked: "copy \(CopyFailure.quoted(source.name)) to",
            possible: "both paths lead to the same file",
            cure: "Choose another target; ls -li shows that both have the same inode number.")
    }

    /// The name of the target in messages.
    var name: String {
        switch self {
        case .local(let endpoint): endpoint.description
        case .stream(_, let path, _): path.text
        case .device(let path, _): path.text
        case .file(let site): site.path.text
        }
    }
}

enum RealPath {
    /// The path with every symbolic link followed.
    static func of(_ path: CopyPath) throws(CopyFailure) -> CopyPath {
        // SAFETY: the C function writes at most the capacity that it is told, and says how many bytes count.
        var length: Int64 = 0
        let bytes = unsafe [CChar](unsafeUninitializedCapacity: 8192) { buffer, filled in
            // The C function writes at most `capacity` bytes and says how many count.
            length = unsafe cdma_real_path(path.cString, buffer.baseAddress, buffer.count)
            filled = max(0, Int(length))
        }
        guard length >= 0 else { throw .opening(path.text, Int32(length), to: "resolve") }
        return CopyPath(bytes: bytes.map { UInt8(bitPattern: $0) })
    }
}

enum CopyClock {
    /// A time of the monotonic clock. Nanoseconds.
    static func after(milliseconds: Int64) -> Int64 { cdma_monotonic_nanoseconds() + milliseconds * 1_000_000 }
    static var now: Int64 { cdma_monotonic_nanoseconds() }
    /// Processor time of the process, all threads. Nanoseconds.
    static var processor: Int64 { cdma_process_nanoseconds() }
}
