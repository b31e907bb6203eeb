// SPDX-License-Identifier: Apache-2.0

/// A path, or a name in a directory, as the kernel uses it: bytes, separated by slashes.
///
/// A file name may contain any byte except zero and the slash, in any encoding. A path is therefore passed as bytes from the command line or a
/// list to the kernel. ``text`` shows it to people and in JSON, and ``init(escaped:)`` decodes that text back into the bytes.
public struct CopyPath: Hashable, Sendable {
    /// The bytes, without a terminating zero.
    public let bytes: [UInt8]

    /// The path with these bytes.
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// The path that is this text in UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8) }

    /// The path whose ``text`` this is.
    public init(escaped text: String) {
        let source = Array(text.utf8)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(source.count)
        var index = 0
        while index < source.count {
            if source[index] == 0, index + 2 < source.count,
                let high = Self.digit(source[index + 1]), let low = Self.digit(source[index + 2])
            {
                bytes.append(high << 4 | low)
                index += 3
            } else {
                bytes.append(source[index])
                index += 1
            }
        }
        self.bytes = bytes
    }

    /// As text. A byte that is not valid UTF-8 is written as U+0000, which no path contains, followed by two hexadecimal digits.
    public var text: String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        var text = ""
        var parser = Unicode.UTF8.ForwardParser()
        var rest = bytes.makeIterator()
        var place = 0
        while true {
            switch parser.parseScalar(from: &rest) {
            case .valid(let units):
                text.unicodeScalars.append(Unicode.UTF8.decode(units))
                place += units.count
            case .error(let length):
                for byte in bytes[place..<(place + length)] {
                    text += "\0" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
                }
                place += length
            case .emptyInput: return text
            }
        }
    }

    private static func digit(_ letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): letter - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

extension CopyPath: ExpressibleByStringLiteral {
    /// The path that is this literal in UTF-8.
    public init(stringLiteral text: String) { self.init(text) }
}

extension CopyPath: CustomStringConvertible {
    /// As ``text``.
    public var description: String { text }
}

// MARK: Names and folders

extension CopyPath {
    private static let slash = UInt8(ascii: "/")

    /// For a system call: with a terminating zero.
    package var cString: [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    /// The names in the path.
    func parts(keepsEmpty: Bool = false) -> [CopyPath] {
        bytes.split(separator: Self.slash, omittingEmptySubsequences: !keepsEmpty).map { CopyPath(bytes: $0) }
    }

    var isEmpty: Bool { bytes.isEmpty }
    var isAbsolute: Bool { bytes.first == Self.slash }
    var endsInSlash: Bool { bytes.last == Self.slash }
    /// `.` or `..`.
    var isDots: Bool { self == "." || self == ".." }

    /// The path of a name in the directory that this path leads to.
    func joined(_ name: CopyPath) -> CopyPath {
        CopyPath(bytes: bytes + (endsInSlash ? [] : [Self.slash]) + name.bytes)
    }

    /// Whether it is `folder`, or below it, judged by the names.
    func isBelow(_ folder: CopyPath) -> Bool {
        let (mine, theirs) = (parts(), folder.parts())
        return isAbsolute == folder.isAbsolute && mine.count >= theirs.count && mine.prefix(theirs.count).elementsEqual(theirs)
    }

    /// - Throws: `badEndpoint` for an empty path, and for one with a zero byte, where the kernel would end it.
    func check() throws(CopyFailure) {
        guard !bytes.isEmpty, !bytes.contains(0) else {
            throw CopyFailure(
                .badEndpoint, text, asked: "open",
                possible: isEmpty ? "the path is empty" : "a path cannot contain a zero byte",
                cure: "Name a file.")
        }
    }
}
