// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Files of /proc and /sys, which have no size until they are read.
enum SmallFile {
    /// At most `limit` bytes as text; nil where the file is not there or cannot be read, as in a container without /sys.
    static func text(_ path: String, limit: Int = 1 << 20) -> String? {
        // SAFETY: the path is read to its zero; `read` writes at most the buffer's length, and says how much of it.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < limit {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
            if count <= 0 { break }
            bytes += piece.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The first line, without blanks around it.
    static func line(_ path: String) -> String? {
        guard let text = text(path), let line = text.split(separator: "\n").first else { return nil }
        return trimmed(line)
    }

    static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
