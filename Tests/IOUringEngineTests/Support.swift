// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The carrier of an engine under test.
enum Carrying: String, CaseIterable, Codable, CustomTestStringConvertible, Sendable {
    case ring, pinned, submissionThread, threads

    var testDescription: String { rawValue }

    /// An engine's configuration for this carrier.
    func configuration(depth: Int = 32) -> IOUringConfiguration {
        var configuration = IOUringConfiguration(depth: depth, path: self == .threads ? .threads : .ring)
        if self == .pinned { configuration.threading = .pinnedToThread }
        if self == .submissionThread { configuration.submissionThread = true }
        return configuration
    }
}

/// A file that is deleted with the value: on the disk below the temporary directory, in memory, or at a given path.
final class Scratch {
    let path: String
    let descriptor: Int32

    init(_ directory: String, _ name: String = "file", flags: Int32 = O_RDWR) throws {
        path = "\(directory)/dma-uring-\(getpid())-\(UInt32.random(in: 0 ... .max))-\(name)"
        descriptor = unsafe open(path, flags | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0, "\(path): errno \(errno)")
    }

    deinit {
        close(descriptor)
        unsafe unlink(path)
    }

    /// The whole contents of the file, by read(2).
    var contents: [UInt8] {
        (try? FileBytes.read(path)) ?? []
    }

    func fill(_ bytes: [UInt8]) {
        let count = unsafe bytes.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        #expect(count == bytes.count)
    }

    /// The places of the tests' files: in memory, and on the disk.
    static let memory = "/dev/shm"
    static let disk = FileManager.default.temporaryDirectory.path
}

typealias Freight = CargoList<MappedBuffer>

let home = Domain(name: "io_uring tests")

extension Channel where E == IOUringEngine, C == Freight {
    static func make(_ configuration: IOUringConfiguration) throws(DMAError) -> Channel {
        try Channel(try IOUringEngine(configuration), domain: home)
    }

    /// The next transaction that has ended; waits at most a minute.
    mutating func await() throws -> Finished<Freight> {
        let limit = Deadline.after(milliseconds: 60_000)
        while true {
            if let finished = next() { return finished }
            if Deadline.now >= limit { throw Late() }
            _ = try wait(until: .after(milliseconds: 100))
        }
    }

    /// Submits, issues and waits for one transaction.
    mutating func perform(_ operation: DMACore.Operation, _ cargo: consuming Freight = Freight(capacity: 1)) throws -> Finished<
        Freight
    > {
        _ = try submit(operation, cargo).get()
        issuePending()
        return try self.await()
    }
}

/// Nothing happened for a minute.
struct Late: Error {}

/// Cargo with these contents, one region each.
func freight(_ parts: [[UInt8]], _ direction: Direction, alignment: Int = 64, skip: Int = 0) throws -> Freight {
    var freight = Freight(capacity: max(parts.count, 1))
    for part in parts {
        var buffer = try Buffer(count: max(part.count, 1), alignment: alignment)
        buffer.withMutableBytes { span in
            for index in part.indices { span.storeBytes(of: part[index], toByteOffset: index, as: UInt8.self) }
        }
        _ = freight.append(try buffer.mapped(for: home, direction: direction))
    }
    return freight
}

/// The bytes of a region.
func bytes(_ cargo: borrowing Freight, _ region: Int = 0) throws -> [UInt8] {
    let found = try cargo.elements.withElement(at: region) { buffer throws(DMAError) in
        try buffer.withCPUAccess { span throws(DMAError) in
            (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
    }
    return found ?? []
}
