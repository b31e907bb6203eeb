// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// One end of a copy: a path, a stream of this process, or a generator or consumer of data.
public enum Endpoint: Hashable, Sendable {
    /// A file, a block device, a named pipe, a character device.
    case path(CopyPath)
    /// `-`: standard input as a source, standard output as a target.
    case standard
    /// An open descriptor, which the caller still owns: a file from its current offset, a pipe, a socket, a memfd. It cannot be named on a
    /// command line.
    case descriptor(Int32)
    /// A buffer of this process. It cannot be named on a command line.
    case buffer(CopyBuffer)
    /// `memory:SIZE`: memory of this process, of that many bytes, zero at first.
    case memory(UInt64)
    /// `pattern:SEED[:SIZE]`: a reproducible stream. As a target, it compares the data with the stream.
    case pattern(seed: UInt64, size: UInt64?)
    /// `null:`: discards all data; not a source.
    case null
    /// `zero:SIZE`: that many zero bytes; not a target.
    case zero(UInt64)

    /// Reads an endpoint as it is written on a command line. A file whose name looks like another kind is written `./null:`.
    ///
    /// - Throws: `badEndpoint`, `badSize`.
    public init(_ text: String) throws(CopyFailure) { try self.init(CopyPath(text)) }

    /// Reads an endpoint as it is written on a command line, byte for byte.
    ///
    /// - Throws: `badEndpoint`, `badSize`.
    public init(_ path: CopyPath) throws(CopyFailure) {
        let text = path.text
        func refuse(_ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badEndpoint, text, asked: "use the endpoint", possible: possible, cure: cure)
        }
        if path.isEmpty {
            throw refuse("it is empty", "Name a path, -, memory:SIZE, pattern:SEED[:SIZE], null: or zero:SIZE.")
        }
        try path.check()
        if path == "-" {
            self = .standard
            return
        }
        guard let colon = text.firstIndex(of: ":") else {
            self = .path(path)
            return
        }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon] {
        case "memory":
            if rest.isEmpty { throw refuse("it has no size", "Write memory:1GiB, or ./\(text) for a file with that name.") }
            self = .memory(try ByteSize.parse(rest, for: text))
        case "zero":
            if rest.isEmpty { throw refuse("it has no size", "Write zero:1GiB, or ./\(text) for a file with that name.") }
            self = .zero(try ByteSize.parse(rest, for: text))
        case "null":
            guard rest.isEmpty else {
                throw refuse("nothing may follow null:", "Write null: alone, or ./\(text) for a file with that name.")
            }
            self = .null
        case "pattern":
            let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = parts.first, let seed = UInt64(first) else {
                throw refuse(
                    "its seed is not a whole number", "Write pattern:SEED or pattern:SEED:SIZE, as in pattern:42:1GiB.")
            }
            self = .pattern(seed: seed, size: parts.count > 1 ? try ByteSize.parse(String(parts[1]), for: text) : nil)
        default:
            self = .path(path)
        }
    }
}

extension Endpoint {
    /// The path that is this text in UTF-8.
    public static func path(_ text: String) -> Endpoint { .path(CopyPath(text)) }

    /// Whether the copy opens it by a path.
    var isPath: Bool {
        if case .path = self { return true }
        return false
    }
}

extension Endpoint: CustomStringConvertible {
    /// As it is written on a command line; a path as ``CopyPath/text`` has it.
    public var description: String {
        switch self {
        case .path(let path): path.text
        case .standard: "-"
        case .descriptor(let number): "descriptor \(number)"
        case .buffer(let buffer): "a buffer of \(buffer.count) bytes"
        case .memory(let size): "memory:\(size)"
        case .pattern(let seed, let size): "pattern:\(seed)" + (size.map { ":\($0)" } ?? "")
        case .null: "null:"
        case .zero(let size): "zero:\(size)"
        }
    }
}
