// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADriverKit
import DMATestSupport
import DMATypes
import DMAVFIOUserProtocol
import DMAVFIOUserServer
import Foundation
import Glibc

/// A model behind a server, at a path of its own.
struct Served {
    let model: ScratchModel
    let server: VFIOUserServer
    private let scratch: Scratch

    init(_ model: ScratchModel = ScratchModel(), patience: Duration = .seconds(20), mappings: Int = 65_535) throws {
        self.model = model
        scratch = try Scratch()
        var configuration = VFIOUserServerConfiguration()
        configuration.patience = patience
        configuration.mappings = mappings
        server = try VFIOUserServer(model, path: scratch.at("socket"), configuration: configuration)
    }

    func client(_ capabilities: PeerCapabilities = PeerCapabilities(), minor: UInt16 = 1) throws -> RawClient {
        let client = try RawClient(server.path)
        _ = try client.ask(.version(VersionMessage(minor: minor, capabilities)))
        return client
    }
}

/// A client that says what a test makes it say.
final class RawClient {
    let connection: Connection

    init(_ path: String) throws {
        let made = UnixSocket.connect(path)
        guard made >= 0 else { throw PeerError(.ended, "cannot connect", number: UInt32(-made)) }
        connection = Connection(OwnedDescriptor(taking: made), patience: .seconds(20))
        try connection.start()
    }

    deinit { end() }

    func end() {
        connection.end("the test is over")
        connection.join()
    }

    static var limit: Deadline { .after(milliseconds: 20_000) }

    @discardableResult
    func ask(_ request: Request, _ descriptors: [Int32] = []) throws(PeerError) -> [UInt8] {
        try connection.ask(request, descriptors: descriptors, until: Self.limit).payload
    }

    /// The error number of a refusal; 0 where the request is not refused.
    func refusal(_ request: Request, _ descriptors: [Int32] = []) throws -> UInt32 {
        do throws(PeerError) {
            try ask(request, descriptors)
            return 0
        } catch {
            guard error.code == .refused else { throw error }
            return error.number
        }
    }

    func map(
        _ address: UInt64, _ count: UInt64, reads: Bool = true, writes: Bool = true, offset: UInt64 = 0, _ file: Int32? = nil
    ) throws -> UInt32 {
        let message = DMAMapMessage(
            isReadable: reads, isWritable: writes, offset: offset, address: address, count: count)
        return try refusal(.dmaMap(message), file.map { [$0] } ?? [])
    }

    func unmap(_ address: UInt64, _ count: UInt64) throws -> UInt32 {
        try refusal(.dmaUnmap(DMAUnmapMessage(address: address, count: count)))
    }

    static func data(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    func read(_ region: UInt32, _ offset: UInt64, _ count: Int) throws -> UInt64 {
        let request = RegionAccessMessage(region: region, offset: offset, count: count)
        let reply = try RegionAccessMessage(reply: ask(.regionRead(request)), to: request, hasData: true)
        return reply.data.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    }

    func write(_ region: UInt32, _ offset: UInt64, _ value: UInt64, _ count: Int = 8) throws {
        try ask(.regionWrite(RegionAccessMessage(region: region, offset: offset, count: count, data: Self.data(value, count))))
    }

    /// Switches the bus master on, or off.
    func setBusMaster(_ isOn: Bool = true) throws { try write(7, 4, isOn ? 6 : 2, 2) }

    /// Makes the device read or write memory: its result register, and its data register.
    func transfer(_ command: UInt64, _ address: UInt64, _ count: UInt64, data: UInt64 = 0) throws -> (UInt64, UInt64) {
        try begin(command, address, count, data: data)
        let limit = Self.limit
        while true {
            let result = try read(0, ScratchModel.Place.result, 8)
            if result != 0 { return (result, try read(0, ScratchModel.Place.data, 8)) }
            guard Deadline.now < limit else { throw PeerError(.noAnswer, "the device does not end") }
            usleep(200)
        }
    }

    func begin(_ command: UInt64, _ address: UInt64, _ count: UInt64, data: UInt64 = 0) throws {
        try write(0, ScratchModel.Place.address, address)
        try write(0, ScratchModel.Place.count, count)
        try write(0, ScratchModel.Place.data, data)
        try write(0, ScratchModel.Place.command, command)
    }

    /// Answers one request for memory; nil where none comes in time.
    func request() -> (Connection.Message, Request)? {
        guard let message = connection.take(until: Self.limit),
            let request = try? Request(
                command: message.header.command, payload: message.payload, descriptors: message.descriptors.count,
                transferSize: 1 << 20)
        else { return nil }
        return (message, request)
    }
}

/// A file in memory.
final class MemoryFile {
    let descriptor: Int32
    let count: Int

    /// - Parameter sealed: whether its size cannot change.
    init(_ count: Int, sealed: Bool = true, name: String = "vfio-user-client") throws {
        descriptor =
            if sealed {
                unsafe cdma_shared_memory(name, count, 0)
            } else {
                try Self.open(count)
            }
        self.count = count
        guard descriptor >= 0 else { throw PeerError(.ended, "no memory file", number: UInt32(-descriptor)) }
    }

    deinit { _ = cdma_close(descriptor) }

    private static func open(_ count: Int) throws -> Int32 {
        let path = FileManager.default.temporaryDirectory.appending(path: "vfio-user-\(UUID().uuidString)").path
        let file = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0, unsafe unlink(path) == 0, ftruncate(file, count) == 0 else { throw PeerError(.ended, "no file") }
        return file
    }

    func truncate(_ count: Int) -> Bool { ftruncate(descriptor, count) == 0 }

    func fill(_ bytes: [UInt8], at offset: UInt64 = 0) {
        _ = unsafe cdma_put_file(descriptor, bytes, bytes.count, offset)
    }

    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe pread(descriptor, &bytes, count, offset)
        return Array(bytes.prefix(max(got, 0)))
    }
}

/// Descriptors and mappings of this process.
enum Own {
    static var descriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }

    /// Mappings of files of that name.
    static func mappings(_ name: String) -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").filter { $0.contains(name) }.count
    }

    /// Threads of this process.
    static var threads: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? 0 }

    /// Waits twenty seconds at most.
    static func waits(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if condition() { return true }
            usleep(10_000)
        }
        return condition()
    }
}
