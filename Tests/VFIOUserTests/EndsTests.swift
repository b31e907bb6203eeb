// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADeviceSide
import DMAEDUModel
import DMAEDUSpecification
import DMATestSupport
import DMAVFIOUserProtocol
import DMAVFIOUserServer
import Foundation
import Testing

extension VFIOUserTests {
    @Suite("vfio-user: clients that end")
    struct EndsTests {
        private static let isLong = ProcessInfo.processInfo.environment["DMA_TEST_LONG"] != nil

        /// An EDU behind a server.
        private struct Served {
            let server: VFIOUserServer
            private let scratch: Scratch
            init() throws {
                scratch = try Scratch()
                server = try VFIOUserServer(EDUModel(), path: scratch.at("socket"))
            }
        }

        /// A connection, as soon as the server's list of those that wait has room.
        private func connect(_ server: VFIOUserServer) throws -> OwnedDescriptor {
            var made = UnixSocket.connect(server.path)
            // EAGAIN.
            _ = Own.waits {
                if made == -11 { made = UnixSocket.connect(server.path) }
                return made != -11
            }
            try #require(made >= 0)
            return OwnedDescriptor(taking: made)
        }

        /// Whether nothing of a client is left, and the server takes another.
        private func isClean(_ server: VFIOUserServer, _ descriptors: Int) -> Bool {
            Own.waits { !server.hasClient && Own.descriptors <= descriptors }
                && server.mappings == 0 && Own.mappings("vfio-user-client") == 0 && !server.function.isBusMaster
        }

        /// The messages of a client: version, memory with its file, events, and a copy of the device.
        private func stream(_ random: inout Seeded, _ file: MemoryFile, _ event: Event) -> [(
            bytes: [UInt8], descriptors: [Int32]
        )] {
            func write(_ region: UInt32, _ offset: UInt64, _ value: UInt64, _ count: Int) -> Request {
                .regionWrite(
                    RegionAccessMessage(region: region, offset: offset, count: count, data: RawClient.data(value, count)))
            }
            var capabilities = PeerCapabilities()
            capabilities.twinSocket = random.next() % 2 == 0
            var requests: [(Request, [Int32])] = [(.version(VersionMessage(capabilities)), []), (write(7, 4, 6, 2), [])]
            for number in 0..<4 as Range<UInt64> {
                let map = DMAMapMessage(
                    isReadable: true, isWritable: true, offset: 0, address: 0x10_0000 + number << 20, count: 1 << 16)
                requests.append((.dmaMap(map), number == 3 ? [] : [file.descriptor]))
            }
            requests.append(
                (.setInterrupts(SetInterruptsMessage(.trigger, .events, index: 1, start: 0, count: 1)), [event.descriptor]))
            for turn in 0..<4 as Range<UInt64> {
                let address = 0x10_0000 + (random.next() % 4) << 20
                requests.append((write(0, 0x80, turn % 2 == 0 ? address : EDU.buffer, 8), []))
                requests.append((write(0, 0x88, turn % 2 == 0 ? EDU.buffer : address, 8), []))
                requests.append((write(0, 0x90, 4032, 8), []))
                requests.append((write(0, 0x98, turn % 2 == 0 ? 5 : 7, 8), []))
                requests.append((.regionRead(RegionAccessMessage(region: 0, offset: 0x98, count: 8)), []))
            }
            requests.append((.dmaUnmap(DMAUnmapMessage(address: 0x10_0000, count: 1 << 16)), []))
            return requests.enumerated().map { number, request in
                let payload = request.0.payload
                let header = MessageHeader(request.0.command.rawValue, identifier: UInt16(number), payload: payload.count)
                return (header.bytes + payload, request.1)
            }
        }

        @Test("1,000 clients that end at a random byte: no descriptor, mapping or thread of theirs is left")
        func thousand() throws {
            let served = try Served()
            let (file, event) = (try MemoryFile(1 << 16), try Event())
            var random = Seeded("thousand")
            let descriptors = Own.descriptors
            for round in 0..<1000 {
                let socket = try connect(served.server)
                let messages = stream(&random, file, event)
                var left = Int(random.next() % UInt64(messages.reduce(1) { $0 + $1.bytes.count }))
                for (bytes, passed) in messages where left > 0 {
                    let count = min(left, bytes.count)
                    left -= count
                    _ = unsafe cdma_socket_send_with(socket.number, bytes, count, passed, Int32(passed.count))
                }
                // The descriptor is closed at the end of the turn, whatever the server has sent.
                if round % 100 == 99 { withExtendedLifetime(socket) {} }
            }
            #expect(isClean(served.server, descriptors))
            #expect(Own.waits { served.server.clients == 1000 }, "\(served.server.clients)")
            let client = try RawClient(served.server.path)
            _ = try client.ask(.version(VersionMessage(.init())))
            #expect(try client.read(0, 0, 4) == 0x0100_00ed)
        }

        @Test("clients of other processes, killed at random moments")
        func killed() throws {
            let served = try Served()
            var random = Seeded("killed clients")
            let descriptors = Own.descriptors
            for round in 0..<(Self.isLong ? 1000 : 60) {
                let client = try Command.start([
                    Program.built("vfio-user-peer"), "client", served.server.path, "\(random.next() % 1_000_000)",
                ])
                #expect(Own.waits { served.server.clients == UInt64(round + 1) }, "round \(round)")
                usleep(UInt32(random.next() % 20_000))
                client.signal(SIGKILL)
                _ = client.wait()
                #expect(isClean(served.server, descriptors), "round \(round): \(Own.descriptors) descriptors of \(descriptors)")
            }
            #expect(
                served.server.function.violations.allSatisfy {
                    $0.contains("written while a transfer runs") || $0.contains("outside of the buffer")
                        || $0.contains("address lines")
                })
        }

        @Test("garbage of every length, and headers that announce more than comes")
        func garbage() throws {
            let served = try Served()
            var random = Seeded("garbage")
            let descriptors = Own.descriptors
            for round in 0..<300 {
                let socket = try connect(served.server)
                var bytes: [UInt8] = []
                if round % 3 != 0 {
                    let version = VersionMessage(.init()).payload
                    bytes = MessageHeader(1, identifier: 0, payload: version.count).bytes + version
                }
                if round % 3 == 2 {
                    for _ in 0..<20 {
                        let payload = random.bytes(Int(random.next() % 64))
                        let command = UInt16(random.next() % 20)
                        bytes += MessageHeader(command, identifier: 1, payload: payload.count).bytes + payload
                    }
                }
                bytes += random.bytes(Int(random.next() % 256))
                _ = unsafe cdma_socket_send_with(socket.number, bytes, bytes.count, nil, 0)
            }
            #expect(isClean(served.server, descriptors))
            let client = try RawClient(served.server.path)
            _ = try client.ask(.version(VersionMessage(.init())))
        }

        @Test("more descriptors than are accepted end the connection, and are closed")
        func descriptors() throws {
            let served = try Served()
            let event = try Event()
            let before = Own.descriptors
            for number in [65, 253] {
                let client = try RawClient(served.server.path)
                _ = try client.ask(.version(VersionMessage(.init())))
                let request = Request.setInterrupts(
                    SetInterruptsMessage(.trigger, .events, index: 2, start: 0, count: UInt32(number)))
                #expect(throws: PeerError.self) {
                    try client.ask(request, [Int32](repeating: event.descriptor, count: number))
                }
                client.end()
            }
            #expect(isClean(served.server, before))
        }

        @Test("a server that is stopped ends its client; its path is free, also after one that was killed")
        func stopping() throws {
            let scratch = try Scratch()
            let path = scratch.at("socket")
            let threads = Own.threads
            do {
                let server = try VFIOUserServer(EDUModel(), path: path)
                let error = #expect(throws: VFIOUserServerError.self) { try VFIOUserServer(EDUModel(), path: path) }
                #expect(error?.code == .pathInUse)
                let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                #expect(mode == 0o600)
                let client = try RawClient(path)
                _ = try client.ask(.version(VersionMessage(.init())))
                server.stop()
                #expect(Own.waits { client.connection.ended != nil })
                #expect(!scratch.exists("socket"))
            }
            #expect(Own.waits { Own.threads <= threads })
            // The file of one that did not end by itself.
            let left = try Command.start([Program.built("vfio-user-peer"), "serve", path])
            #expect(Own.waits { scratch.exists("socket") })
            left.signal(SIGKILL)
            _ = left.wait()
            #expect(scratch.exists("socket"))
            _ = try VFIOUserServer(EDUModel(), path: path)
            try scratch.write("file", [1, 2, 3])
            for (bad, code) in [
                (scratch.at("file"), VFIOUserServerError.Code.pathInUse), (scratch.at("no/such/folder"), .badPath),
                (scratch.at(String(repeating: "x", count: 200)), .badPath), ("", .badPath),
            ] {
                let error = #expect(throws: VFIOUserServerError.self) { try VFIOUserServer(EDUModel(), path: bad) }
                #expect(error?.code == code && error?.cure.isEmpty == false)
            }
            #expect(try scratch.read("file") == [1, 2, 3])
        }
    }
}
