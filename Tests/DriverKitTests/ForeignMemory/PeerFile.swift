// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMADriverKit
import DMATestSupport
import Foundation
import Glibc

/// A file as a peer passes it. Closed at its end.
struct PeerFile: ~Copyable {
    let descriptor: Int32

    /// A memfd that is sealed against shrinking, filled with bytes of `first` and up.
    init(sealed pages: Int, first: UInt8 = 0) {
        descriptor = unsafe cdma_shared_memory("peer", pages * PeerFile.page, 0)
        precondition(descriptor >= 0)
        for page in 0..<pages { fill(page, first &+ UInt8(truncatingIfNeeded: page)) }
    }

    /// The same with one value in every byte.
    init(sealed pages: Int, uniform value: UInt8) {
        descriptor = unsafe cdma_shared_memory("peer", pages * PeerFile.page, 0)
        precondition(descriptor >= 0)
        for page in 0..<pages { fill(page, value) }
    }

    /// The same file by another descriptor.
    init(copyOf other: borrowing PeerFile) {
        descriptor = dup(other.descriptor)
        precondition(descriptor >= 0)
    }

    /// An ordinary file, which its owner may truncate.
    init(shrinkable pages: Int, first: UInt8 = 0, in folder: String = "/dev/shm", flags: Int32 = O_RDWR) {
        var name = Array("\(folder)/peer-XXXXXX".utf8CString)
        let file = unsafe mkstemp(&name)
        precondition(file >= 0)
        precondition(ftruncate(file, pages * PeerFile.page) == 0)
        descriptor = unsafe open(name, flags | O_CLOEXEC)
        precondition(descriptor >= 0)
        precondition(unsafe unlink(name) == 0)
        close(file)
        for page in 0..<pages where flags == O_RDWR { fill(page, first &+ UInt8(truncatingIfNeeded: page)) }
    }

    private func fill(_ page: Int, _ value: UInt8) {
        let bytes = [UInt8](repeating: value, count: PeerFile.page)
        precondition(unsafe pwrite(descriptor, bytes, bytes.count, page * PeerFile.page) == bytes.count)
    }

    /// The peer's view.
    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe pread(descriptor, &bytes, count, offset)
        return Array(bytes.prefix(max(got, 0)))
    }

    static let page = Int(sysconf(Int32(_SC_PAGESIZE)))

    deinit { close(descriptor) }
}

extension ForeignMemory {
    /// A copy of the peer's bytes.
    func bytes(_ start: UInt64, _ count: Int) throws(DMAError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        try fill(&bytes, start)
        return bytes
    }

    func fill(_ bytes: inout [UInt8], _ start: UInt64) throws(DMAError) {
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(IOVA(start), into: &raw)
    }

    func put(_ bytes: [UInt8], _ start: UInt64) throws(DMAError) { unsafe try write(bytes.span.bytes, at: IOVA(start)) }

    func end(_ start: UInt64, _ count: UInt64) throws(DMAError) {
        try remove(IOVA(start), count: count, until: .after(milliseconds: 10_000))
    }
}

/// The code of the refusal of `body`; nil where it is not refused.
func refusal(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
    do throws(DMAError) { try body() } catch { return error.code }
    return nil
}

/// The open descriptors and mappings of this process.
struct Holdings: Equatable {
    var descriptors: Int
    var peerMappings: Int

    static var now: Holdings {
        Holdings(
            descriptors: (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1,
            peerMappings: permissions.count)
    }

    /// The permissions of the peer's mappings.
    static var permissions: [String] {
        let maps = String(decoding: wholeFile("/proc/self/maps"), as: UTF8.self)
        return maps.split(separator: "\n").filter { $0.contains("peer") }.map { String($0.split(separator: " ")[1]) }
    }

    /// A kernel file, which reports no size.
    private static func wholeFile(_ path: String) -> [UInt8] {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        precondition(file >= 0)
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe Glibc.read(file, &piece, piece.count)
            if count <= 0 { return bytes }
            bytes += piece.prefix(count)
        }
    }
}
