// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import DMAVFIOUserProtocol
import DMAVFIOUserServer
import Foundation
import Testing

extension VFIOUserTests {
    @Suite("vfio-user: a client's memory")
    struct ServerMemoryTests {
        @Test("a file is read and written where it is mapped, and nowhere else")
        func files() throws {
            let served = try Served()
            let client = try served.client()
            var random = Seeded("files")
            let image = random.bytes(3 * 4096)
            let file = try MemoryFile(4 * 4096)
            file.fill(image, at: 4096)
            #expect(try client.map(0x10_0000, 3 * 4096, offset: 4096, file.descriptor) == 0)
            #expect(served.server.mappings == 1)
            // With the bus master off, it reaches nothing.
            #expect(try client.transfer(1, 0x10_0000, 16) == (2, 0))
            try client.setBusMaster()
            #expect(try client.transfer(1, 0x10_0000, 3 * 4096) == (1, ScratchModel.sum(image)))
            #expect(try client.transfer(1, 0x10_0005, 4090) == (1, ScratchModel.sum(Array(image[5..<4095]))))
            #expect(try client.transfer(2, 0x10_1000, 4096, data: 0x5a).0 == 1)
            #expect(file.bytes(0, 4096) == [UInt8](repeating: 0, count: 4096))
            #expect(file.bytes(4096, 4096) == Array(image.prefix(4096)))
            #expect(file.bytes(8192, 4096) == [UInt8](repeating: 0x5a, count: 4096))
            #expect(file.bytes(12288, 4096) == Array(image.suffix(4096)))
            for (address, count) in [(0x0f_ffff, 2), (0x10_2fff, 2), (0x10_3000, 1), (0x0, 1), (.max, 2)] as [(UInt64, UInt64)]
            {
                for command in [1, 2] as [UInt64] { #expect(try client.transfer(command, address, count).0 == 2) }
            }
            #expect(try client.unmap(0x10_0000, 3 * 4096) == 0)
            #expect(try client.transfer(1, 0x10_0000, 1).0 == 2)
            #expect(served.server.mappings == 0 && Own.mappings("vfio-user-client") == 0)
        }

        @Test("the rights of a mapping hold for every access, with a file and without; a file's own rights bound them")
        func rights() throws {
            let served = try Served()
            let client = try served.client()
            let file = try MemoryFile(4096)
            file.fill([UInt8](repeating: 7, count: 4096))
            try client.setBusMaster()
            for (reads, writes) in [(true, false), (false, true), (false, false)] {
                for isFile in [true, false] {
                    #expect(
                        try client.map(0x10_0000, 4096, reads: reads, writes: writes, isFile ? file.descriptor : nil) == 0)
                    // What is permitted is tried with the file alone: messages would have to be answered.
                    if isFile || !reads { #expect(try client.transfer(1, 0x10_0000, 8).0 == (reads ? 1 : 2)) }
                    if isFile || !writes { #expect(try client.transfer(2, 0x10_0000, 8, data: 9).0 == (writes ? 1 : 2)) }
                    #expect(try client.unmap(0x10_0000, 4096) == 0)
                }
            }
            let only = unsafe open("/proc/self/fd/\(file.descriptor)", O_RDONLY)
            defer { close(only) }
            // EACCES.
            #expect(try client.map(0x10_0000, 4096, only) == 13)
            #expect(try client.map(0x10_0000, 4096, writes: false, only) == 0)
        }

        @Test("what overlaps a mapping exists already, also the same again; an unmap must be exact")
        func overlaps() throws {
            let served = try Served()
            let client = try served.client()
            let file = try MemoryFile(1 << 16)
            for isFile in [true, false] {
                let descriptor = isFile ? file.descriptor : nil
                #expect(try client.map(0x10_0000, 0x4000, descriptor) == 0)
                for (address, count) in [
                    (0x10_0000, 0x4000), (0x10_3000, 0x2000), (0x0f_f000, 0x2000), (0x0f_0000, 0x2_0000), (0x10_1000, 0x1000),
                ] as [(UInt64, UInt64)] {
                    for other in [file.descriptor, nil] where other == nil || count <= 1 << 16 {
                        #expect(try client.map(address, count, other) == 17)
                    }
                }
                // Behind it and before it, there is room.
                #expect(try client.map(0x10_4000, 0x1000, descriptor) == 0)
                #expect(try client.map(0x0f_f000, 0x1000, descriptor) == 0)
                #expect(try client.unmap(0x10_0000, 0x3000) == 22)
                #expect(try client.unmap(0x10_0000, 0x5000) == 22)
                #expect(try client.unmap(0x10_1000, 0x1000) == 2)
                #expect(try client.unmap(0x20_0000, 0x1000) == 2)
                #expect(served.server.mappings == 3)
                var all = DMAUnmapMessage(address: 0, count: 0)
                all.isAll = true
                #expect(try DMAUnmapMessage(reply: client.ask(.dmaUnmap(all))).isAll)
                #expect(served.server.mappings == 0)
                // Never mapped: ENOENT, as QEMU meets it behind a guest's IOMMU.
                #expect(try client.unmap(0x10_0000, 0x4000) == 2)
            }
            // The largest and the impossible.
            #expect(try client.map(0, .max) == 0)
            #expect(try client.unmap(0, .max) == 0)
            #expect(try client.map(1, .max) == 0)
            #expect(try client.unmap(1, .max) == 0)
            #expect(try client.map(2, .max) == 22)
            #expect(try client.map(0x1000, 0) == 22)
            #expect(try client.map(0x1000, 0x1000, offset: 0x1000) == 22)
            // A file that is shorter, and two files for one mapping.
            #expect(try client.map(0x10_0000, 0x2_0000, file.descriptor) == 22)
            let two = Request.dmaMap(
                DMAMapMessage(isReadable: true, isWritable: true, offset: 0, address: 0, count: 4096))
            #expect(try client.refusal(two, [file.descriptor, file.descriptor]) == 22)
            // A pipe cannot be mapped.
            var ends: [Int32] = [0, 0]
            #expect(unsafe pipe(&ends) == 0)
            #expect(try client.map(0x10_0000, 4096, ends[0]) != 0)
            for end in ends { close(end) }
            #expect(served.server.mappings == 0)
        }

        @Test("random maps and unmaps are answered as a plain table answers them")
        func oracle() throws {
            let served = try Served()
            let client = try served.client()
            let file = try MemoryFile(64 * 4096)
            var random = Seeded("oracle")
            var table: [UInt64: UInt64] = [:]
            for _ in 0..<1500 {
                let address = (1 + random.next() % 64) * 4096
                let count = (1 + random.next() % 8) * 4096
                if random.next() % 2 == 0 {
                    let overlaps = table.contains { $0.key < address + count && address < $0.key + $0.value }
                    #expect(
                        try client.map(address, count, random.next() % 2 == 0 ? file.descriptor : nil) == (overlaps ? 17 : 0))
                    if !overlaps { table[address] = count }
                } else {
                    let found = table[address]
                    // Half of them as they were mapped.
                    let exact = random.next() % 2 == 0 ? found ?? count : count
                    #expect(try client.unmap(address, exact) == (found == nil ? 2 : found == exact ? 0 : 22))
                    if found == exact { table[address] = nil }
                }
                #expect(served.server.mappings == table.count)
            }
        }

        @Test("thousands of mappings; one more than the limit finds no room")
        func thousands() throws {
            let served = try Served(mappings: 5000)
            let client = try served.client()
            let file = try MemoryFile(4096)
            try client.setBusMaster()
            let began = Deadline.now
            var pending: [Connection.Pending] = []
            for number in 0..<5000 as Range<UInt64> {
                let map = DMAMapMessage(
                    isReadable: true, isWritable: true, offset: 0, address: (number * 7919 % 5000) * 8192, count: 4096)
                pending.append(try client.connection.begin(.dmaMap(map), descriptors: number % 2 == 0 ? [file.descriptor] : []))
            }
            for one in pending { _ = try client.connection.wait(for: one, until: RawClient.limit) }
            #expect(served.server.mappings == 5000)
            #expect(try client.map(5000 * 8192, 4096) == 28)
            #expect(try client.transfer(2, 0, 4096, data: 3).0 == 1)
            pending = []
            for number in 0..<5000 as Range<UInt64> {
                pending.append(try client.connection.begin(.dmaUnmap(DMAUnmapMessage(address: number * 8192, count: 4096))))
            }
            for one in pending { _ = try client.connection.wait(for: one, until: RawClient.limit) }
            print("5,000 maps and unmaps: \((Deadline.now.nanoseconds - began.nanoseconds) / 1_000_000) ms")
            #expect(served.server.mappings == 0 && Own.mappings("vfio-user-client") == 0)
        }

        @Test("a file that shrinks while it is mapped fails the transfer, and not the server")
        func shrinks() throws {
            let served = try Served()
            let client = try served.client()
            let file = try MemoryFile(16 * 4096, sealed: false)
            #expect(try client.map(0x10_0000, 16 * 4096, file.descriptor) == 0)
            try client.setBusMaster()
            #expect(try client.transfer(2, 0x10_0000, 16 * 4096, data: 1).0 == 1)
            #expect(file.truncate(4096))
            #expect(try client.transfer(2, 0x10_0000, 16 * 4096, data: 2).0 == 2)
            #expect(try client.transfer(1, 0x10_8000, 4096).0 == 2)
            #expect(try client.transfer(2, 0x10_0000, 4096, data: 3).0 == 1)
            #expect(file.bytes(0, 4096) == [UInt8](repeating: 3, count: 4096))
        }

        // MARK: Messages

        @Test(
            "without a file, memory is read and written by messages, in pieces of what the client can take",
            arguments: [false, true])
        func messages(_ small: Bool) throws {
            let served = try Served()
            var capabilities = PeerCapabilities()
            if small { capabilities.transferSize = 1000 }
            let client = try served.client(capabilities)
            try client.setBusMaster()
            #expect(try client.map(0x10_0000, 1 << 16) == 0)
            var random = Seeded("messages")
            var memory = random.bytes(1 << 16)
            var requests = 0
            func serve(_ count: Int) throws {
                var left = count
                while left > 0 {
                    let (message, request) = try #require(client.request())
                    requests += 1
                    switch request {
                    case .dmaRead(var access):
                        let place = Int(access.address - 0x10_0000)
                        access.data = Array(memory[place..<place + access.count])
                        client.connection.reply(to: message, access.payload)
                        left -= access.count
                    case .dmaWrite(var access):
                        let place = Int(access.address - 0x10_0000)
                        memory.replaceSubrange(place..<place + access.count, with: access.data)
                        left -= access.count
                        access.data = []
                        client.connection.reply(to: message, access.payload)
                    default: throw PeerError(.badAnswer, "\(request)")
                    }
                }
            }
            try client.begin(1, 0x10_0100, 10_000)
            try serve(10_000)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 1 })
            #expect(try client.read(0, ScratchModel.Place.data, 8) == ScratchModel.sum(Array(memory[0x100..<0x100 + 10_000])))
            try client.begin(2, 0x10_8000, 5000, data: 0x77)
            try serve(5000)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 1 })
            #expect(memory[0x8000..<0x8000 + 5000].allSatisfy { $0 == 0x77 } && memory[0x8000 + 5000] != 0x77)
            #expect(requests == (small ? 15 : 2))
        }

        @Test("a range of which a half has a file and a half has none")
        func mixed() throws {
            let served = try Served()
            let client = try served.client()
            try client.setBusMaster()
            let file = try MemoryFile(4096)
            file.fill([UInt8](repeating: 1, count: 4096))
            #expect(try client.map(0x10_0000, 4096, file.descriptor) == 0)
            #expect(try client.map(0x10_1000, 4096) == 0)
            try client.begin(1, 0x10_0f00, 512)
            let (message, request) = try #require(client.request())
            #expect(request == .dmaRead(DMAAccessMessage(address: 0x10_1000, count: 256)))
            let answer = DMAAccessMessage(address: 0x10_1000, count: 256, data: [UInt8](repeating: 2, count: 256))
            client.connection.reply(to: message, answer.payload)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 1 })
            let expected = [UInt8](repeating: 1, count: 256) + [UInt8](repeating: 2, count: 256)
            #expect(try client.read(0, ScratchModel.Place.data, 8) == ScratchModel.sum(expected))
        }

        @Test("a client that accesses registers, resets and unmaps before it answers does not deadlock with the server")
        func bothWays() throws {
            let served = try Served()
            let client = try served.client()
            try client.setBusMaster()
            #expect(try client.map(0x10_0000, 4096) == 0)
            func begin() throws -> Connection.Message {
                try client.begin(1, 0x10_0000, 64)
                return try #require(client.request()).0
            }
            let answer = DMAAccessMessage(address: 0x10_0000, count: 64, data: [UInt8](repeating: 5, count: 64)).payload
            // Registers, written and read.
            var request = try begin()
            try client.write(2, 0, 1234)
            #expect(try client.read(2, 0, 8) == 1234)
            client.connection.reply(to: request, answer)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 1 })
            // The end of what it reads: the transfer fails now; the answer comes too late, and is dropped.
            request = try begin()
            #expect(try client.unmap(0x10_0000, 4096) == 0)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 2 })
            client.connection.reply(to: request, answer)
            #expect(try client.map(0x10_0000, 4096) == 0)
            // The bus master, switched off.
            request = try begin()
            try client.setBusMaster(false)
            #expect(try client.read(0, ScratchModel.Place.result, 8) == 2)
            client.connection.reply(to: request, answer)
            try client.setBusMaster(true)
            // A reset.
            request = try begin()
            try client.ask(.reset)
            #expect(try client.read(0, ScratchModel.Place.result, 8) == 0)
            client.connection.reply(to: request, answer)
            try client.setBusMaster(true)
            request = try begin()
            client.connection.reply(to: request, answer)
            #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 1 })
            #expect(client.connection.ended == nil)
        }

        @Test("a client that never answers fails the transfer after the server's patience")
        func silent() throws {
            let served = try Served(patience: .milliseconds(200))
            let client = try served.client()
            try client.setBusMaster()
            #expect(try client.map(0x10_0000, 4096) == 0)
            #expect(try client.transfer(1, 0x10_0000, 64).0 == 2)
            // The answer after all.
            let (message, _) = try #require(client.request())
            client.connection.reply(
                to: message, DMAAccessMessage(address: 0x10_0000, count: 64, data: [UInt8](repeating: 5, count: 64)).payload)
            #expect(try client.read(7, 0, 4) == 0x0002_1b36)
        }

        @Test(
            "an answer that refuses fails the transfer; one about other bytes ends the connection, and so does one to nothing")
        func badAnswers() throws {
            let served = try Served()
            for number in 0..<4 {
                let client = try served.client()
                try client.setBusMaster()
                #expect(try client.map(0x10_0000, 4096) == 0)
                try client.begin(1, 0x10_0000, 64)
                let (message, _) = try #require(client.request())
                switch number {
                case 0:
                    client.connection.refuse(message, 14)
                    #expect(Own.waits { (try? client.read(0, ScratchModel.Place.result, 8)) == 2 })
                case 1: client.connection.reply(to: message, DMAAccessMessage(address: 0x10_0000, count: 63).payload)
                case 2: client.connection.reply(to: message, [])
                default:
                    client.connection.reply(
                        to: message,
                        DMAAccessMessage(address: 0x10_0000, count: 64, data: .init(repeating: 0, count: 64)).payload)
                    client.connection.reply(to: message, [])
                }
                if number > 0 { #expect(Own.waits { client.connection.ended != nil }, "\(number)") }
            }
            _ = try served.client()
        }
    }
}
