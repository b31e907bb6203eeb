// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import DMAVFIOUserProtocol
import DMAVFIOUserServer
import Foundation
import Testing

extension VFIOUserTests {
    @Suite("vfio-user: the server")
    struct ServerTests {
        // MARK: Version

        @Test("0.0 as QEMU proposes it, 0.1, and a later minor version; another major is refused, and the connection ends")
        func versions() throws {
            let served = try Served()
            for (proposed, answered) in [(0, 0), (1, 1), (7, 1)] as [(UInt16, UInt16)] {
                let client = try RawClient(served.server.path)
                let reply = try VersionMessage(payload: client.ask(.version(VersionMessage(minor: proposed, .init()))))
                #expect(reply.major == 0 && reply.minor == answered)
                #expect(reply.capabilities.transferSize == 1 << 20 && reply.capabilities.descriptors == 64)
                #expect(!reply.capabilities.twinSocket && !reply.capabilities.writesMultiple)
                // It is said once.
                #expect(try client.refusal(.version(VersionMessage(.init()))) == 22)
            }
            let client = try RawClient(served.server.path)
            #expect(try client.refusal(.version(VersionMessage(major: 1, minor: 0, .init()))) == 22)
            #expect(Own.waits { client.connection.ended != nil })
        }

        @Test("a first message that is no version ends the connection; so does none, after the server's patience")
        func noVersion() throws {
            let served = try Served(patience: .milliseconds(300))
            let client = try RawClient(served.server.path)
            #expect(try client.refusal(.reset) == 22)
            #expect(Own.waits { client.connection.ended != nil })
            let silent = try RawClient(served.server.path)
            #expect(Own.waits { silent.connection.ended != nil })
            #expect(served.server.lastEnd?.contains("version") == true)
            _ = try served.client()
        }

        @Test("a second client is told that the server is busy, and taken once the first has gone")
        func busy() throws {
            let served = try Served()
            let first = try served.client()
            let second = try RawClient(served.server.path)
            #expect(try second.refusal(.version(VersionMessage(.init()))) == 16)
            #expect(try first.read(7, 0, 4) == 0x0002_1b36)
            first.end()
            let third = try served.client()
            #expect(try third.read(7, 0, 4) == 0x0002_1b36)
        }

        // MARK: Information

        @Test("device, regions and interrupts are what the model's description says")
        func information() throws {
            let served = try Served()
            let client = try served.client()
            let info = try DeviceInfoMessage(reply: client.ask(.deviceInfo(QueryMessage(replySize: 16))))
            #expect(info == DeviceInfoMessage(canReset: true, isPCI: true, regions: 9, interrupts: 5))
            let sizes: [UInt64] = [4096, 0, 1 << 16, 0, 0, 0, 0, 256, 0]
            for (index, size) in sizes.enumerated() {
                // SPDK asks with room for 4,064 bytes.
                for room in [32, 4064] as [UInt32] {
                    let query = Request.regionInfo(QueryMessage(index: UInt32(index), replySize: room))
                    let region = try RegionInfoMessage(reply: client.ask(query), index: UInt32(index))
                    #expect(region.count == size && region.isReadable == (size > 0) && region.isWritable == (size > 0))
                    #expect(!region.isMappable && region.areas == nil && region.needed == 32)
                }
            }
            #expect(try client.refusal(.regionInfo(QueryMessage(index: 9, replySize: 32))) == 22)
            for (index, count) in [1, 4, 0, 0, 0].enumerated() {
                let query = Request.interruptInfo(QueryMessage(index: UInt32(index), replySize: 16))
                let kind = try InterruptInfoMessage(reply: client.ask(query), index: UInt32(index))
                #expect(kind.count == UInt32(count) && kind.isMaskable == (count > 0) && kind.masksItself == (index == 0))
            }
            #expect(try client.refusal(.interruptInfo(QueryMessage(index: 5, replySize: 16))) == 22)
            #expect(try client.refusal(.regionIODescriptors(QueryMessage(index: 0, replySize: 16))) == 95)
        }

        // MARK: Registers

        @Test("registers and configuration space, of every width and at every place, also many bytes at once")
        func registers() throws {
            let served = try Served()
            let client = try served.client()
            for (width, value) in [(1, 0xa5), (2, 0xa55a), (4, 0x1234_5678), (8, 0x0123_4567_89ab_cdef)] as [(Int, UInt64)] {
                try client.write(2, 0x100, value, width)
                #expect(try client.read(2, 0x100, width) == value)
            }
            let all = RegionAccessMessage(region: 7, offset: 0, count: 256)
            let space = try RegionAccessMessage(reply: client.ask(.regionRead(all)), to: all, hasData: true).data
            #expect(Array(space.prefix(4)) == [0x36, 0x1b, 0x02, 0x00])
            #expect(try client.read(7, 1, 3) == 0x00_021b)
            // Beyond the end, by one byte and by all of them, and regions that there are not.
            for (region, offset, count) in [
                (7, 255, 2), (7, 256, 1), (0, 4095, 2), (0, .max, 1), (1, 0, 1), (9, 0, 1), (.max, 0, 1),
            ] as [(UInt32, UInt64, Int)] {
                let access = RegionAccessMessage(region: region, offset: offset, count: count)
                #expect(try client.refusal(.regionRead(access)) == 22)
                var write = access
                write.data = [UInt8](repeating: 0, count: count)
                #expect(try client.refusal(.regionWrite(write)) == 22)
            }
            let large = RegionAccessMessage(region: 2, offset: 0, count: (1 << 20) + 1)
            #expect(try client.refusal(.regionRead(large)) == 90)
        }

        @Test("several writes in one message, and which of them were done")
        func multiple() throws {
            let served = try Served()
            var capabilities = PeerCapabilities()
            capabilities.writesMultiple = true
            let client = try served.client(capabilities)
            func write(_ offset: UInt64, _ value: UInt64, _ count: Int = 4) -> RegionAccessMessage {
                RegionAccessMessage(region: 2, offset: offset, count: count, data: RawClient.data(value, count))
            }
            let good = RegionWritesMessage([write(0, 1), write(8, 2), write(16, 3, 8)])
            #expect(try RegionWritesMessage.done(reply: client.ask(.regionWriteMultiple(good))) == 3)
            #expect(try client.read(2, 16, 8) == 3)
            let half = RegionWritesMessage([write(0, 7), write(1 << 20, 8), write(8, 9)])
            #expect(try RegionWritesMessage.done(reply: client.ask(.regionWriteMultiple(half))) == 1)
            #expect(try client.read(2, 8, 4) == 2)
            #expect(try client.refusal(.regionWriteMultiple(RegionWritesMessage([write(1 << 20, 8)]))) == 22)
        }

        @Test("a request that wants no reply gets none, and those behind it see what it did")
        func noReply() throws {
            let served = try Served()
            let client = try served.client()
            for round in 0..<200 as Range<UInt64> {
                let write = Request.regionWrite(
                    RegionAccessMessage(region: 2, offset: 0, count: 8, data: RawClient.data(round, 8)))
                try client.connection.post(write, most: 64, until: RawClient.limit)
                if round % 20 == 19 { #expect(try client.read(2, 0, 8) == round) }
            }
            try client.connection.flush(until: RawClient.limit)
            #expect(client.connection.refusedPosts == 0)
        }

        @Test(
            "a reset, by message and by the configuration space, leaves the device as after power-up, with its registers decoded"
        )
        func reset() throws {
            let served = try Served()
            let client = try served.client()
            for byMessage in [true, false] {
                try client.setBusMaster()
                try client.write(2, 0, 77)
                let before = served.model.resets
                if byMessage { try client.ask(.reset) } else { try client.write(7, 0x78, 0x8000, 2) }
                #expect(served.model.resets == before + 1)
                #expect(try client.read(2, 0, 8) == 0)
                #expect(try client.read(7, 4, 2) == 2)
            }
        }

        @Test("migration, dirty pages and commands that there are not are refused; the connection stays")
        func unsupported() throws {
            let served = try Served()
            let client = try served.client()
            #expect(try client.refusal(.dmaRead(DMAAccessMessage(address: 0, count: 8))) == 95)
            #expect(try client.refusal(.dmaWrite(DMAAccessMessage(address: 0, count: 1, data: [1]))) == 95)
            #expect(try client.read(7, 0, 4) == 0x0002_1b36)
        }

        // MARK: Interrupts

        private func events(_ client: RawClient, _ index: UInt32, _ count: Int) throws -> [Event] {
            let events = try (0..<count).map { _ in try Event() }
            try client.ask(
                .setInterrupts(SetInterruptsMessage(.trigger, .events, index: index, start: 0, count: UInt32(count))),
                events.map(\.descriptor))
            return events
        }

        private func act(
            _ client: RawClient, _ action: SetInterruptsMessage.Action, _ index: UInt32, _ vector: UInt32
        ) throws {
            try client.ask(.setInterrupts(SetInterruptsMessage(action, .all, index: index, start: vector, count: 1)))
        }

        @Test(
            "messages reach the event of their vector; under a mask, one is kept, however many there were",
            arguments: [1, 2, 100])
        func masked(_ times: Int) throws {
            let served = try Served()
            let client = try served.client()
            let events = try events(client, 1, 4)
            try client.setBusMaster()
            for vector in 0..<4 as Range<UInt64> {
                try client.write(0, ScratchModel.Place.vector, vector)
                #expect(events[Int(vector)].take() == 1)
            }
            // By the request, and by the mask in the configuration space (MSI at 0x50, its mask 16 bytes behind).
            for inSpace in [false, true] {
                if inSpace { try client.write(7, 0x60, 0b100, 4) } else { try act(client, .mask, 1, 2) }
                for _ in 0..<times { try client.write(0, ScratchModel.Place.vector, 2) }
                #expect(events[2].take() == 0)
                #expect(try client.read(7, 0x64, 4) == (inSpace ? 0b100 : 0))
                try client.write(0, ScratchModel.Place.vector, 1)
                #expect(events[1].take() == 1)
                if inSpace { try client.write(7, 0x60, 0, 4) } else { try act(client, .unmask, 1, 2) }
                #expect(events[2].take() == 1)
                #expect(try client.read(7, 0x64, 4) == 0)
            }
            #expect(events.allSatisfy { $0.take() == 0 })
        }

        @Test("INTx masks itself, and comes again when it is unmasked while the device asserts it")
        func level() throws {
            let served = try Served()
            let client = try served.client()
            let event = try events(client, 0, 1)[0]
            try client.write(0, ScratchModel.Place.level, 1)
            #expect(event.take() == 1)
            try act(client, .unmask, 0, 0)
            #expect(event.take() == 1)
            try client.write(0, ScratchModel.Place.level, 0)
            try act(client, .unmask, 0, 0)
            #expect(event.take() == 0)
            // While masked, a pulse is nothing; a level that stays is delivered by unmasking.
            try act(client, .mask, 0, 0)
            try client.write(0, ScratchModel.Place.level, 1)
            try client.write(0, ScratchModel.Place.level, 0)
            try act(client, .unmask, 0, 0)
            #expect(event.take() == 0)
            try act(client, .mask, 0, 0)
            try client.write(0, ScratchModel.Place.level, 1)
            #expect(event.take() == 0)
            try act(client, .unmask, 0, 0)
            #expect(event.take() == 1)
        }

        @Test("events are taken away one by one and all at once, and closed; requests that cannot be are refused")
        func setting() throws {
            let served = try Served()
            let client = try served.client()
            // A message's own descriptors are closed just behind its reply.
            let before = Own.descriptors
            let events = try events(client, 1, 4)
            #expect(Own.waits { Own.descriptors == before + 8 })
            try client.setBusMaster()
            // The client's own trigger.
            try client.ask(
                .setInterrupts(SetInterruptsMessage(.trigger, .flags([true, false, true]), index: 1, start: 1, count: 3)))
            #expect(events.map { $0.take() } == [0, 1, 0, 1])
            try client.ask(.setInterrupts(SetInterruptsMessage(.trigger, .events, index: 1, start: 1, count: 2)))
            #expect(Own.waits { Own.descriptors == before + 6 })
            for vector in 0..<4 as Range<UInt64> { try client.write(0, ScratchModel.Place.vector, vector) }
            #expect(events.map { $0.take() } == [1, 0, 0, 1])
            try client.ask(.setInterrupts(SetInterruptsMessage(.trigger, .all, index: 1, start: 0, count: 0)))
            #expect(Own.waits { Own.descriptors == before + 4 })
            // MSI is off again: without it, the device's vectors are nothing.
            #expect(try client.read(7, 0x52, 2) & 1 == 0)

            func refusal(_ message: SetInterruptsMessage, _ descriptors: [Int32] = []) throws -> UInt32 {
                try client.refusal(.setInterrupts(message), descriptors)
            }
            let event = events[0].descriptor
            #expect(try refusal(SetInterruptsMessage(.trigger, .events, index: 1, start: 3, count: 2), [event, event]) == 22)
            #expect(try refusal(SetInterruptsMessage(.trigger, .events, index: 1, start: 0, count: 2), [event]) == 22)
            #expect(try refusal(SetInterruptsMessage(.trigger, .events, index: 2, start: 0, count: 1), [event]) == 22)
            #expect(try refusal(SetInterruptsMessage(.mask, .events, index: 1, start: 0, count: 1), [event]) == 95)
            #expect(try refusal(SetInterruptsMessage(.mask, .all, index: 1, start: 4, count: 1)) == 22)
            #expect(try refusal(SetInterruptsMessage(.mask, .all, index: 5, start: 0, count: 1)) == 22)
            #expect(try refusal(SetInterruptsMessage(.unmask, .all, index: 1, start: 0, count: 0)) == 22)
            // No event, but a file that a write would go to.
            let file = try MemoryFile(4096)
            #expect(
                try refusal(SetInterruptsMessage(.trigger, .events, index: 1, start: 0, count: 1), [file.descriptor]) == 22)
            #expect(Own.waits { Own.descriptors == before + 5 })
        }
    }
}
