// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMATypes
internal import Glibc

/// Reads files below the mount points of sysfs and devtmpfs. What is read is not trusted: another file system may be mounted there.
///
/// No read blocks (pipes are opened with O_NONBLOCK), none takes more than ``largest`` bytes, and each failure is told apart from absence.
///
/// Thread rules: a value; called from any thread.
public struct SystemTree: Sendable {
    /// Where sysfs is mounted.
    let sys: String
    /// Where the device nodes are.
    let dev: String

    /// The trees of this machine, or copies of them below other folders.
    public init(sys: String = "/sys", dev: String = "/dev") {
        self.sys = sys
        self.dev = dev
    }

    /// The most bytes that are read of an attribute. Source: Documentation/filesystems/sysfs.rst: at most one page.
    static let largest = 4096
    /// The most names that are read of a folder.
    static let mostNames = 65_536

    // MARK: Reading

    /// The first line of an attribute, without blanks at its ends and without control characters. Empty is ``Fact/none``.
    func line(_ path: String) -> Fact<String> {
        switch bytes(path, atMost: Self.largest) {
        case .unknown(let reason): return .unknown(reason)
        case .none: return .none
        case .known(let bytes):
            let text = Self.printable(bytes.prefix { $0 != UInt8(ascii: "\n") })
            return text.isEmpty ? .none : .known(text)
        }
    }

    /// Bytes of a file. None where there is no such file.
    func bytes(_ path: String, atMost limit: Int) -> Fact<[UInt8]> {
        let file = unsafe cdma_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0)
        guard file >= 0 else { return Self.failure(path, -file) }
        var bytes = [UInt8](repeating: 0, count: limit)
        // SAFETY: the function writes at most the buffer's length, and returns how many bytes it wrote.
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe buffer.baseAddress.map { unsafe cdma_read_all(file, $0, buffer.count, -1) } ?? 0
        }
        let closed = cdma_close(file)
        guard count >= 0 else { return Self.failure(path, Int32(clamping: -count)) }
        guard closed == 0 else { return Self.failure(path, -closed) }
        return .known(Array(bytes.prefix(Int(count))))
    }

    /// The last name of what a symbolic link leads to. None where there is no such link.
    func link(_ path: String) -> Fact<String> {
        // SAFETY: the call writes at most the buffer's length and returns how many bytes it wrote.
        var bytes = [CChar](repeating: 0, count: Self.largest)
        let count = unsafe readlink(path, &bytes, bytes.count)
        guard count >= 0 else { return Self.failure(path, errno) }
        let target = bytes.prefix(count).map { UInt8(bitPattern: $0) }
        let name = Self.printable(target.split(separator: UInt8(ascii: "/")).last ?? [])
        return name.isEmpty ? .unknown("\(path) leads nowhere") : .known(name)
    }

    /// The names in a folder, sorted. None where there is no such folder.
    func names(_ path: String) -> Fact<[String]> {
        // SAFETY: the directory is open until `closedir`. The name is an array inside of the entry, ended by a zero, that lives until the next
        // readdir; only the bytes before the zero are read.
        guard let directory = unsafe opendir(path) else { return Self.failure(path, errno) }
        defer { unsafe _ = closedir(directory) }
        var names: [String] = []
        while names.count < Self.mostNames {
            errno = 0
            guard let entry = unsafe readdir(directory) else {
                guard errno == 0 else { return Self.failure(path, errno) }
                return .known(names.sorted())
            }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe Self.printable($0.prefix { $0 != 0 }) }
            if name != ".", name != ".." { names.append(name) }
        }
        return .unknown("\(path) has more than \(Self.mostNames) names")
    }

    /// Whether something has that name.
    func exists(_ path: String) -> Fact<Bool> {
        // SAFETY: the path is read to its zero.
        if unsafe access(path, F_OK) == 0 { return .known(true) }
        return [ENOENT, ENOTDIR].contains(errno) ? .known(false) : Self.failure(path, errno)
    }

    /// Whether this user may open a device node for reading and writing; none where there is no such node.
    func mayOpen(_ path: String) -> Fact<Bool> {
        // SAFETY: as above.
        if unsafe faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0 { return .known(true) }
        return [EACCES, EPERM, EROFS].contains(errno) ? .known(false) : Self.failure(path, errno)
    }

    private static func failure<Value>(_ path: String, _ number: Int32) -> Fact<Value> {
        if number == ENOENT || number == ENOTDIR { return .none }
        return .unknown("\(path) cannot be read: \(DMAError.sentence(number))")
    }

    /// Text of the kernel's or of a file, with which no terminal can be controlled.
    static func printable(_ bytes: some Sequence<UInt8>) -> String {
        let scalars = String(decoding: Array(bytes), as: UTF8.self).unicodeScalars
            .filter { $0.properties.generalCategory != .control && $0.properties.generalCategory != .format }
        var text = Substring(String(String.UnicodeScalarView(scalars)))
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
