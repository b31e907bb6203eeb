// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A file that is generated as it is read, bypassing the page cache: stat reports one size, and reads return another. A FUSE
/// file system of that one file, served by a thread of this process. Needs root.
///
/// Source: include/uapi/linux/fuse.h, version 7.31.
public final class GeneratedFile: Sendable {
    /// Whether one can be made.
    public static let isPossible: Bool = {
        guard Machine.isRoot, let scratch = try? Scratch(), let file = try? GeneratedFile([1], says: 1, in: scratch) else {
            return false
        }
        return (try? FileBytes.read(file.path)) == [1]
    }()
    public static let without =
        "no FUSE file system may be mounted; run as root, with /dev/fuse (a container needs --privileged)"

    /// The file.
    public let path: String
    /// The name of the folder that it lies in, in the test's own.
    public var folderName: String { URL(filePath: folder).lastPathComponent }
    private let folder: String

    /// - Parameters:
    ///   - bytes: what a read gives.
    ///   - says: the size that stat says.
    ///   - bad: what cannot be read: a read that asks for a byte of it answers EIO.
    public init(_ bytes: [UInt8], says: Int, bad: [Range<Int>] = [], in scratch: Scratch) throws {
        folder = scratch.at("generated-\(UUID().uuidString)")
        path = folder + "/file"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let device = unsafe open("/dev/fuse", O_RDWR | O_CLOEXEC)
        guard device >= 0 else { throw Machine.Missing("no /dev/fuse") }
        let options = "fd=\(device),rootmode=40000,user_id=0,group_id=0"
        let mounted = unsafe options.withCString { unsafe mount("generated", folder, "fuse", 0, $0) }
        guard mounted == 0 else {
            close(device)
            throw Machine.Missing("a FUSE file system cannot be mounted: \(errno)")
        }
        Thread { Self.serve(device, bytes, UInt64(says), bad) }.start()
    }

    deinit {
        _ = unsafe umount2(folder, Int32(MNT_DETACH))
        _ = unsafe rmdir(folder)
    }

    // MARK: The protocol

    /// Answers until the file system is unmounted.
    private static func serve(_ device: Int32, _ bytes: [UInt8], _ says: UInt64, _ bad: [Range<Int>]) {
        defer { close(device) }
        var request = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = unsafe request.withUnsafeMutableBytes { unsafe read(device, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == ENOENT { continue }
            guard count >= 40 else { return }
            guard let answer = answer(Array(request[..<count]), bytes, says, bad) else { continue }
            let unique: UInt64 = Words.number(request, at: 8)
            var reply = Words()
            reply.add(UInt32(16 + answer.bytes.count), answer.error, unique)
            reply.bytes += answer.bytes
            _ = unsafe reply.bytes.withUnsafeBytes { unsafe write(device, $0.baseAddress, $0.count) }
        }
    }

    /// nil for what wants none.
    private static func answer(
        _ request: [UInt8], _ file: [UInt8], _ says: UInt64, _ bad: [Range<Int>]
    ) -> (error: Int32, bytes: [UInt8])? {
        let node: UInt64 = Words.number(request, at: 16)
        var out = Words()
        switch Words.number(request, at: 4) as UInt32 {
        case 26:  // INIT
            out.add(7 as UInt32, 31 as UInt32, 65_536 as UInt32, 0 as UInt32, 12 as UInt16, 12 as UInt16, 131_072 as UInt32)
            out.add(1 as UInt32, 32 as UInt16, 0 as UInt16)
            out.bytes += [UInt8](repeating: 0, count: 32)
        case 1:  // LOOKUP
            guard request[40...].starts(with: "file\0".utf8) else { return (-ENOENT, []) }
            out.add(2 as UInt64, 0 as UInt64, 0 as UInt64, 0 as UInt64, 0 as UInt64)
            out.addAttributes(node: 2, says)
        case 3:  // GETATTR
            out.add(0 as UInt64, 0 as UInt64)
            out.addAttributes(node: node, says)
        case 14, 27:  // OPEN, OPENDIR; FOPEN_DIRECT_IO
            let flags: UInt32 = node == 2 ? 1 : 0
            out.add(0 as UInt64, flags, 0 as UInt32)
        case 15:  // READ
            let offset = Int(clamping: Words.number(request, at: 48) as UInt64)
            let size = Int(Words.number(request, at: 56) as UInt32)
            if bad.contains(where: { $0.overlaps(offset..<(offset + size)) }) { return (-EIO, []) }
            if offset < file.count { out.bytes = Array(file[offset..<min(file.count, offset + size)]) }
        case 17: out.bytes = [UInt8](repeating: 0, count: 80)  // STATFS
        case 18, 25, 29: break  // RELEASE, FLUSH, RELEASEDIR
        case 2, 36, 42: return nil  // FORGET, INTERRUPT, BATCH_FORGET
        default: return (-ENOSYS, [])
        }
        return (0, out.bytes)
    }

    /// Numbers one behind the other, in this machine's order.
    private struct Words {
        var bytes: [UInt8] = []

        mutating func add<each Number: FixedWidthInteger>(_ numbers: repeat each Number) {
            for number in repeat each numbers {
                for shift in stride(from: 0, to: number.bitWidth, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: number >> type(of: number).init(shift)))
                }
            }
        }

        /// struct fuse_attr: a directory, or the file.
        mutating func addAttributes(node: UInt64, _ says: UInt64) {
            let (size, mode): (UInt64, UInt32) = node == 1 ? (0, 0o40755) : (says, 0o100644)
            add(node, size, (size + 511) / 512, 1 as UInt64, 1 as UInt64, 1 as UInt64, 0 as UInt32, 0 as UInt32, 0 as UInt32)
            add(mode, 1 as UInt32, 0 as UInt32, 0 as UInt32, 0 as UInt32, 4096 as UInt32, 0 as UInt32)
        }

        static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], at place: Int) -> Number {
            (0..<Number.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Number(truncatingIfNeeded: bytes[place + $1]) }
        }
    }
}
