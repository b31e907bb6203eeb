// SPDX-License-Identifier: Apache-2.0

internal import CDMA
package import DMAConformance
package import DMACore
package import DMAIOUringEngine

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The conformance suite's provisions for the io_uring engine: a file as storage, sockets as FIFOs, and the code on their far
/// side.
package enum IOUringProvisions {
    /// An engine that has `storage` as its configured peripheral, followed by descriptors that make reads and writes fail.
    package static func engine(
        _ configuration: IOUringConfiguration, _ storage: FileStorage, _ cache: PeripheralFile.Cache = .asOpened
    ) throws(DMAError) -> IOUringEngine {
        var engine = try IOUringEngine(configuration)
        // Numbers 0, 1 and 2, in this order: the table is empty.
        _ = try engine.attach(PeripheralFile(storage.descriptor, cache: cache))
        _ = try engine.attach(PeripheralFile(storage.unreadable))
        _ = try engine.attach(PeripheralFile(storage.unwritable))
        return engine
    }

    /// For engines that were made with ``engine(_:_:_:)``.
    package static func provisions(_ storage: FileStorage) -> ConformanceProvisions<IOUringEngine> {
        var provisions = ConformanceProvisions<IOUringEngine>()
        provisions.storage = storage
        // With a socket an engine runs ahead of any clock; the rings have tests of their own.
        provisions.ringsRunFreely = false
        provisions.failures = [.readFailed, .writeFailed]
        provisions.failNext = { engine, status in
            // The numbers are those of attached files.
            try? engine.configure(EngineConfiguration(peripheral: status == .writeFailed ? 2 : 1))
        }
        provisions.recover = { engine in try? engine.configure(EngineConfiguration(peripheral: 0)) }
        provisions.peripheral = { engine in SocketWire(&engine) }
        return provisions
    }
}

/// A file as storage for the suite: deleted with this value, or with the process.
package final class FileStorage: ConformanceStorage {
    /// Open for reading and writing.
    package let descriptor: Int32
    let unreadable: Int32
    let unwritable: Int32
    package let count: Int
    /// The first of the test's own reads and writes that failed.
    private let trouble = Locked<String?>(nil)

    /// A file of `count` bytes in `directory`, with space reserved for all of them: a full disk must be detected here, not by a
    /// transfer.
    ///
    /// - Throws: `kernelRefused`, with ENOSPC or EDQUOT where there is no space.
    package init(in directory: String, count: Int = 64 << 20) throws(DMAError) {
        self.count = count
        var template = Array("\(directory)/dma-storage-XXXXXX".utf8CString)
        // SAFETY: `template` ends with a zero and is used only by the C functions during each call; it is not empty, so that it
        // has an address.
        let descriptor = unsafe template.withUnsafeMutableBufferPointer { unsafe mkstemp($0.baseAddress.unsafelyUnwrapped) }
        guard descriptor >= 0 else { throw DMAError(.kernelRefused, errno: errno) }
        let opened = unsafe template.withUnsafeBufferPointer { path -> (Int32, Int32) in
            unsafe (
                open(path.baseAddress.unsafelyUnwrapped, O_WRONLY | O_CLOEXEC),
                open(path.baseAddress.unsafelyUnwrapped, O_RDONLY | O_CLOEXEC)
            )
        }
        unsafe template.withUnsafeBufferPointer { unsafe _ = unlink($0.baseAddress.unsafelyUnwrapped) }
        self.descriptor = descriptor
        (unreadable, unwritable) = opened
        guard opened.0 >= 0, opened.1 >= 0, ftruncate(descriptor, off_t(count)) == 0 else {
            throw DMAError(.kernelRefused, errno: errno)
        }
        try reserve()
        // No read-ahead: pages read in advance would join those of other transfers in one folio.
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    }

    /// Bytes that this process may still write to a directory's file system; nil if statvfs(3) fails.
    static func free(in directory: String) -> UInt64? {
        var facts = statvfs()
        // SAFETY: the path is read to its zero; the C function fills `facts`, which is as large as it writes.
        guard unsafe statvfs(directory, &facts) == 0, facts.f_blocks > 0 else { return nil }
        let (bytes, isMore) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        return isMore ? .max : bytes
    }

    /// Whether the file's bytes are in memory, which a control group limits: tmpfs or ramfs (linux/magic.h).
    private var isInMemory: Bool {
        var facts = statfs()
        // SAFETY: the C function fills `facts`, which is as large as it writes.
        guard unsafe fstatfs(descriptor, &facts) == 0 else { return false }
        return [0x0102_1994, 0x8584_58f6].contains(UInt32(truncatingIfNeeded: facts.f_type))
    }

    /// Reserves space for the whole file.
    private func reserve() throws(DMAError) {
        if isInMemory, MemoryBudget.current.available / 2 < UInt64(count) { throw DMAError(.outOfMemory, asked: UInt64(count)) }
        let refused = cdma_fallocate(descriptor, 0, 0, UInt64(count))
        guard refused != 0 else { return }
        switch -refused {
        case ENOSPC, EDQUOT, EFBIG: throw DMAError(.kernelRefused, errno: -refused)
        // A file system without such a call, or a sandbox that forbids it: written data has its space.
        default: break
        }
        let zeroes = [UInt8](repeating: 0, count: 1 << 20)
        for position in stride(from: 0, to: count, by: zeroes.count) {
            let length = min(zeroes.count, count - position)
            // SAFETY: the call reads `length` bytes of the array, which has as many and lives through it.
            let written = unsafe zeroes.withUnsafeBytes {
                unsafe cdma_write_all(descriptor, $0.baseAddress, length, Int64(position))
            }
            guard written == Int64(length) else {
                throw DMAError(.kernelRefused, errno: written < 0 ? Int32(clamping: -written) : ENOSPC)
            }
        }
    }

    package var failure: String? { trouble.withLock { $0 } }

    /// Stores the first failure of the test's own calls.
    private func note(_ what: String, _ moved: Int64) {
        let reason = moved < 0 ? DMAError.sentence(Int32(clamping: -moved)) : "fewer bytes than asked"
        trouble.withLock { if $0 == nil { $0 = "the test's own \(what) of its file failed: \(reason)" } }
    }

    deinit { for file in [descriptor, unreadable, unwritable] where file >= 0 { close(file) } }

    package func put(_ bytes: [UInt8], at position: Int) {
        // SAFETY: the call reads the array's own bytes, which live through it.
        let written = unsafe bytes.withUnsafeBytes {
            unsafe cdma_write_all(descriptor, $0.baseAddress, $0.count, Int64(position))
        }
        if written != Int64(bytes.count) { note("write", written) }
    }

    package func get(_ count: Int, at position: Int) -> [UInt8] {
        guard count > 0 else { return [] }
        // SAFETY: every byte is initialized first, and the call writes what is left of the buffer at most.
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            // Data that cannot be read is zero, which differs from everything written. SAFETY: the whole capacity. Not by a
            // loop, which takes longer than the transfer in an unoptimised build.
            unsafe memset(buffer.baseAddress.unsafelyUnwrapped, 0, buffer.count)
            filled = count
            let found = unsafe cdma_read_all(descriptor, buffer.baseAddress, count, Int64(position))
            if found != Int64(count) { note("read", found) }
        }
    }
}

/// The far side of two sockets that an engine has as peripherals.
final class SocketWire: ConformancePeripheral {
    let lines: [UInt32]
    private var ends: [UInt32: Int32] = [:]
    var unit: Int { 1 }

    init(_ engine: inout IOUringEngine) {
        var lines: [UInt32] = []
        for _ in 0..<2 {
            var pair: [Int32] = [-1, -1]
            // SAFETY: `pair` has the two numbers that the C function writes, and `room` the four bytes that it reads.
            guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else { continue }
            var room: Int32 = 1 << 20
            for end in pair { unsafe setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, 4) }
            if let number = try? engine.attach(PeripheralFile(pair[0])) {
                lines.append(number)
                ends[number] = pair[1]
            }
            close(pair[0])
        }
        self.lines = lines
    }

    deinit { for end in ends.values { close(end) } }

    func feed(_ bytes: [UInt8], line: UInt32) {
        guard let end = ends[line] else { return }
        // The socket has room for more than the suite's transfers. SAFETY: the call reads the array's own bytes, which live
        // through it.
        unsafe _ = bytes.withUnsafeBytes { unsafe send(end, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
    }

    func drain(line: UInt32) -> [UInt8] {
        guard let end = ends[line] else { return [] }
        var result: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            // SAFETY: the call writes at most the array's own length, and returns how much of it.
            let moved = unsafe piece.withUnsafeMutableBytes { unsafe recv(end, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
            if moved <= 0 { return result }
            result += piece.prefix(moved)
        }
    }
}
