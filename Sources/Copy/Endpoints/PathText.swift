// SPDX-License-Identifier: Apache-2.0

/// Paths as the kernel reads them: bytes, parted by the byte of the slash.
///
/// Not by characters: to Swift's strings a slash with a combining mark behind it is one character, which equals no slash.
enum PathText {
    private static let slash = UInt8(ascii: "/")

    /// The names of a path.
    static func parts(_ path: String, keepsEmpty: Bool = false) -> [String] {
        path.utf8.split(separator: slash, omittingEmptySubsequences: !keepsEmpty).map { String(Substring($0)) }
    }

    static func isAbsolute(_ path: String) -> Bool { path.utf8.first == slash }
    static func endsInSlash(_ path: String) -> Bool { path.utf8.last == slash }

    /// A name in a folder.
    static func joined(_ folder: String, _ name: String) -> String { folder + (endsInSlash(folder) ? "" : "/") + name }
}
