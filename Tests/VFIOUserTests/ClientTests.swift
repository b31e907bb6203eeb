// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAAccess
import DMACore
import DMAPCISpecification
import DMARegisters
import DMATestSupport
import DMATypes
import DMAVFIOUserAccess
import DMAVFIOUserProtocol
import Foundation
import Testing

extension VFIOUserTests {
    @Suite("vfio-user: the client")
    struct ClientTests {
        private var configuration: VFIOUserConfiguration {
            var configuration = VFIOUserConfiguration()
            configuration.patience = .seconds(20)
            return configuration
        }

        private func device(
            _ server: ScriptedServer, _ memory: VFIOUserConfiguration.Memory = .shared
        ) throws(AccessError) -> VFIOUserDevice {
            var configuration = configuration
            configuration.memory = memory
            return try VFIOUserDevice(path: server.path, configuration)
        }

        /// What comes of opening a device behind a server.
        private func error(_ server: ScriptedServer, patience: Duration = .seconds(20)) -> AccessError? {
            var configuration = configuration
            configuration.patience = patience
            do throws(AccessError) {
                let device = try VFIOUserDevice(path: server.path, configuration)
                _ = try QuietDevice(opening: device)
                return nil
            } catch { return error }
        }

        // MARK: Servers that are none

        @Test("no server, no socket, no path")
        func absent() throws {
            let scratch = try Scratch()
            try scratch.write("file", [1])
            for path in [scratch.at("nothing"), scratch.at("file"), scratch.at("a/b"), "", String(repeating: "x", count: 300)] {
                let error = #expect(throws: AccessError.self) { _ = try VFIOUserDevice(path: path) }
                #expect(error?.code == .absent, "\(path.prefix(40)): \(String(describing: error))")
                #expect(error?.cure.isEmpty == false)
            }
        }

        @Test("a plain server is opened, and everything of the client ends with the device")
        func plain() throws {
            let threads = Own.threads
            do {
                let server = try ScriptedServer()
                let descriptors = Own.descriptors
                do {
                    let device = try device(server)
                    #expect(
                        device.configurationCount == 256 && device.interruptCount(.msi) == 8
                            && device.interruptCount(.msix) == 0)
                    let quiet = try QuietDevice(opening: device)
                    #expect(quiet.header.vendor == 0x1b36 && quiet.resetMethod == .transport)
                    let again = #expect(throws: AccessError.self) { _ = try QuietDevice(opening: device).name }
                    #expect(again?.code == .busy)
                    let window = try quiet.window(0, atLeast: 64)
                    window.store(0x1234_5678 as UInt32, at: 8)
                    #expect(window.load(8, as: UInt32.self) == 0x1234_5678 && !device.isMapped(0))
                    #expect(device.goneReason == nil && !device.isDead)
                }
                #expect(Own.waits { server.connection?.ended != nil })
                #expect(Own.waits { Own.descriptors <= descriptors + 1 }, "\(Own.descriptors) of \(descriptors)")
            }
            #expect(Own.waits { Own.threads <= threads })
        }

        /// A request that a server may answer wrongly.
        enum Step: CaseIterable, Sendable {
            case version, deviceInfo, regionInfo, interruptInfo, reset, configuration

            func matches(_ request: Request) -> Bool {
                switch (self, request) {
                case (.version, .version), (.deviceInfo, .deviceInfo), (.regionInfo, .regionInfo),
                    (.interruptInfo, .interruptInfo), (.reset, .reset), (.configuration, .regionRead):
                    true
                default: false
                }
            }
        }

        @Test(
            "a server that ends, is silent, refuses or sends nonsense at each step: an error in a bounded time",
            arguments: Step.allCases)
        func hostile(_ step: Step) throws {
            let began = Deadline.now
            let answers: [(ScriptedServer.Answer, Set<AccessError.Code>)] = [
                (.end, [.gone, .badConfiguration, .absent]), (.silence, [.gone, .notReady, .absent]),
                (.refusal(22), [.refused, .badConfiguration, .absent]),
                (.payload([1, 2, 3]), [.badConfiguration, .gone, .absent]),
                (.payload([UInt8](repeating: 0xff, count: 4000)), [.badConfiguration, .gone, .absent]),
            ]
            let descriptors = Own.descriptors
            for (number, (answer, codes)) in answers.enumerated() {
                let server = try ScriptedServer { step.matches($0) ? answer : nil }
                let found = error(server, patience: .milliseconds(500))
                if step == .interruptInfo, number == 2 {
                    // A kind that is refused is one that there is not.
                    #expect(found == nil)
                } else if step == .reset, number > 2 {
                    // Its reply has no payload to be wrong.
                    #expect(found == nil)
                } else {
                    #expect(found.map { codes.contains($0.code) } == true, "\(number): \(String(describing: found))")
                }
            }
            #expect(began.nanoseconds + 60_000_000_000 > Deadline.now.nanoseconds)
            #expect(Own.waits { Own.descriptors <= descriptors }, "\(Own.descriptors) of \(descriptors)")
        }

        @Test("versions and capabilities that contradict what was proposed")
        func versions() throws {
            func error(_ payload: [UInt8]) throws -> AccessError? {
                self.error(
                    try ScriptedServer { request in if case .version = request { .payload(payload) } else { nil } })
            }
            #expect(try error(VersionMessage(major: 1, minor: 0, .init()).payload)?.code == .badConfiguration)
            #expect(try error(VersionMessage(minor: 2, .init()).payload)?.code == .badConfiguration)
            var twin = PeerCapabilities()
            twin.twinSocket = true
            twin.twinSocketIndex = 0
            // It announces a second socket, and passes none.
            #expect(try error(VersionMessage(minor: 1, twin).payload)?.code == .badConfiguration)
            #expect(try error([0, 0, 1, 0] + Array("{".utf8) + [0])?.code == .badConfiguration)
            #expect(try error([0, 0, 0, 0]) == nil)
            let busy = try ScriptedServer { request in if case .version = request { .refusal(16) } else { nil } }
            #expect(self.error(busy)?.code == .busy)
        }

        @Test("a device that is no PCI device, or has no configuration space")
        func notPCI() throws {
            let other = try ScriptedServer { request in
                guard case .deviceInfo = request else { return nil }
                return .payload(DeviceInfoMessage(canReset: true, isPCI: false, regions: 9, interrupts: 5).payload)
            }
            #expect(error(other)?.code == .badConfiguration)
            let none = try ScriptedServer { request in
                guard case .regionInfo(let query) = request, query.index == 7 else { return nil }
                return .refusal(22)
            }
            #expect(error(none)?.code == .badConfiguration)
        }

        // MARK: Registers

        @Test(
            "registers in a file are mapped where the server says, and only there; a file that can shrink is not mapped",
            arguments: [true, false])
        func sparse(_ sealed: Bool) throws {
            let file = try MemoryFile(1 << 16, sealed: sealed)
            let passed = OwnedDescriptor(taking: cdma_duplicate(file.descriptor))
            let server = try ScriptedServer { request in
                guard case .regionInfo(let query) = request, query.index == 0 else { return nil }
                var info = ScriptedServer.region(0)
                info.isMappable = true
                info.offset = 0x4000
                info.areas = [.init(offset: 0x1000, count: 0x1000), .init(offset: 0x8000, count: 0x2000)]
                // With the descriptor only where there is room for the list, as SPDK does.
                return .payload(info.payload(room: query.replySize), query.replySize > 32 ? [passed] : [])
            }
            let device = try device(server)
            let quiet = try QuietDevice(opening: device)
            #expect(device.isMapped(0) == sealed)
            let window = try quiet.window(0)
            let places: [(Int, Bool)] = [
                (0, false), (0xff8, false), (0x1000, true), (0x1ff8, true), (0x2000, false), (0x8008, true), (0x9ff8, true),
                (0xa000, false),
            ]
            for (offset, isMapped) in places {
                let value = 0x1122_3344_5566_7700 | UInt64(offset & 0xff)
                window.store(value, at: offset)
                window.flush()
                #expect(window.load(offset, as: UInt64.self) == value)
                let inFile = file.bytes(0x4000 + offset, 8) == RawClient.data(value, 8)
                let atServer = (0..<8).allSatisfy { server.register(offset + $0) == RawClient.data(value, 8)[$0] }
                #expect(inFile == (isMapped && sealed) && atServer == !(isMapped && sealed), "\(offset)")
            }
            window.store(0xab as UInt8, at: 0x1003)
            #expect(window.load(0x1003, as: UInt8.self) == 0xab)
        }

        @Test("writes are under way together, in their order; a read waits for all of them; no more than 64 wait")
        func posted() throws {
            let gate = Locked(false)
            let server = try ScriptedServer { request in
                guard case .regionWrite(let access) = request, access.region == 0, !gate.withLock({ $0 }) else { return nil }
                return .later
            }
            let device = try device(server)
            let quiet = try QuietDevice(opening: device)
            let window = try quiet.window(0)
            func writes() -> [Connection.Message] {
                server.messages.filter { $0.header.command == MessageCommand.regionWrite.rawValue && $0.payload[8] == 0 }
            }
            for number in 0..<64 { window.store(UInt32(number), at: 4 * number) }
            #expect(Own.waits { writes().count == 64 })
            // In the order of the stores: the place is the number.
            #expect(writes().map { Int($0.payload[0]) | Int($0.payload[1]) << 8 } == (0..<64).map { 4 * $0 })
            #expect(device.goneReason == nil)
            gate.withLock { $0 = true }
            for message in writes() {
                server.connection?.reply(to: message, Array(message.payload.prefix(16)))
            }
            #expect(window.load(0, as: UInt32.self) == 0)
            window.store(7 as UInt32, at: 0)
            #expect(window.load(0, as: UInt32.self) == 7)
        }

        @Test("a write that the server refuses is lost, as on a bus; one that it does not answer makes the device gone")
        func lostWrites() throws {
            let isSilent = Locked(false)
            let server = try ScriptedServer { request in
                guard case .regionWrite(let access) = request, access.region == 0 else { return nil }
                return isSilent.withLock { $0 } ? .silence : .refusal(22)
            }
            var configuration = configuration
            configuration.patience = .milliseconds(500)
            let device = try VFIOUserDevice(path: server.path, configuration)
            let quiet = try QuietDevice(opening: device)
            let window = try quiet.window(0)
            window.store(1 as UInt32, at: 0)
            #expect(window.load(0, as: UInt32.self) == 0 && device.goneReason == nil)
            isSilent.withLock { $0 = true }
            window.store(1 as UInt32, at: 0)
            window.flush()
            #expect(device.goneReason?.contains("does not answer") == true)
            let began = Deadline.now
            for offset in 0..<1000 { #expect(window.load(4 * offset, as: UInt32.self) == .max) }
            #expect(began.nanoseconds + 5_000_000_000 > Deadline.now.nanoseconds)
        }

        // MARK: Memory

        private func ask(_ server: ScriptedServer, _ request: Request) -> UInt32 {
            guard let connection = server.connection else { return .max }
            do throws(PeerError) {
                _ = try connection.ask(request, until: .after(milliseconds: 20_000))
                return 0
            } catch { return error.code == .refused ? error.number : .max }
        }

        @Test(
            "a server reaches by messages what is mapped, with the rights of the mapping, and nothing else",
            arguments: [true, false])
        func rights(_ shared: Bool) throws {
            let server = try ScriptedServer()
            let device = try device(server, shared ? .shared : .messages)
            let quiet = try QuietDevice(opening: device)
            let domain = quiet.domain
            var source = try Buffer(count: 4096, for: domain)
            var span = source.mutableBytes
            for offset in 0..<4096 { try span.store(UInt8(truncatingIfNeeded: offset), at: offset) }
            let toDevice = try source.mapped(for: domain, direction: .toDevice)
            let fromDevice = try Buffer(count: 4096, for: domain).mapped(for: domain, direction: .fromDevice)
            let maps = server.messages.filter { $0.header.command == MessageCommand.dmaMap.rawValue }
            try #require(maps.count == 2)
            let requests = server.requests.compactMap { if case .dmaMap(let map) = $0 { map } else { nil } }
            let (first, second) = (requests[0], requests[1])
            #expect(first.isReadable && !first.isWritable && second.isWritable)
            // A file that the device only reads cannot be mapped for writing by who gets it.
            for (map, writes) in zip(maps, [false, true]) {
                #expect(map.descriptors.count == (shared ? 1 : 0))
                guard let descriptor = map.descriptors.first?.number else { continue }
                let pages = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
                #expect(unsafe (pages != MAP_FAILED) == writes)
                if unsafe pages != MAP_FAILED { unsafe munmap(pages, 4096) }
            }
            #expect(ask(server, .dmaRead(DMAAccessMessage(address: first.address, count: 4096))) == 0)
            #expect(ask(server, .dmaWrite(DMAAccessMessage(address: first.address, count: 1, data: [9]))) == 13)
            #expect(ask(server, .dmaWrite(DMAAccessMessage(address: second.address + 7, count: 2, data: [8, 9]))) == 0)
            for address in [0, first.address + 0x100_0000, .max - 7] as [UInt64] {
                #expect(ask(server, .dmaRead(DMAAccessMessage(address: address, count: 8))) == 14)
                #expect(ask(server, .dmaWrite(DMAAccessMessage(address: address, count: 1, data: [1]))) == 14)
            }
            #expect(ask(server, .regionRead(RegionAccessMessage(region: 0, offset: 0, count: 1))) == 95)
            let back = try toDevice.unmap()
            #expect(try back.load(at: 0, as: UInt8.self) == 0)
            let got = try fromDevice.unmap()
            #expect(try got.load(at: 7, as: UInt8.self) == 8 && got.load(at: 8, as: UInt8.self) == 9)
            #expect(ask(server, .dmaRead(DMAAccessMessage(address: first.address, count: 1))) == 14)
            #expect(Quarantine.entries.isEmpty)
        }

        @Test(
            "a map that is refused gives the buffer back; an unmap that does less than was asked keeps shared memory, and no other"
        )
        func refusals() throws {
            let refuses = Locked(true)
            let less = Locked(false)
            let server = try ScriptedServer { request in
                switch request {
                case .dmaMap: return refuses.withLock { $0 } ? .refusal(28) : nil
                case .dmaUnmap(var unmap):
                    guard less.withLock({ $0 }) else { return nil }
                    unmap.count -= 4096
                    return .payload(unmap.count == 0 ? [] : unmap.payload)
                default: return nil
                }
            }
            for memory in [VFIOUserConfiguration.Memory.shared, .messages] {
                refuses.withLock { $0 = true }
                less.withLock { $0 = false }
                let device = try device(server, memory)
                let quiet = try QuietDevice(opening: device)
                let domain = quiet.domain
                switch try Buffer(count: 8192, for: domain).map(for: domain, direction: .toDevice) {
                case .mapped: Issue.record("a map that the server has refused")
                case .failed(let error, let buffer):
                    let count = buffer.count
                    #expect(error.errno == 28 && count == 8192)
                }
                refuses.withLock { $0 = false }
                less.withLock { $0 = true }
                let mapped = try Buffer(count: 8192, for: domain).mapped(for: domain, direction: .toDevice)
                if case .messages = memory {
                    _ = try mapped.unmap()
                } else {
                    do throws(DMAError) {
                        _ = try mapped.unmap()
                        Issue.record("the server has unmapped half of it")
                    } catch {
                        #expect(error.code == .unmapMismatch || error.code == .quarantined || error.code == .partialUnmap)
                    }
                }
            }
            #expect(Quarantine.entries.count == 1)
            // SAFETY: the server of this test reaches no memory.
            for entry in Quarantine.entries { try unsafe Quarantine.unsafeRelease(entry.identifier) }
        }

        // MARK: Interrupts

        @Test("events go to the server in as many messages as it needs; each vector calls the handler; ticks come without")
        func interrupts() throws {
            var capabilities = PeerCapabilities()
            capabilities.descriptors = 3
            let server = try ScriptedServer(capabilities)
            let device = try device(server)
            let quiet = try QuietDevice(opening: device)
            let causes = Locked<[InterruptCause]>([])
            try quiet.enableInterrupts(8, preferring: [.msi]) { cause in causes.withLock { $0.append(cause) } }
            let sets = server.requests.compactMap { if case .setInterrupts(let set) = $0 { set } else { nil } }
            #expect(sets.map(\.count) == [3, 3, 2] && sets.map(\.start) == [0, 3, 6])
            let events = server.messages.filter { $0.header.command == MessageCommand.setInterrupts.rawValue }
                .flatMap(\.descriptors)
            try #require(events.count == 8)
            for vector in [0, 7, 3] {
                #expect(cdma_event_signal(events[vector].number) == 0)
                #expect(Own.waits { causes.withLock { $0.contains(.vector(vector)) } })
            }
            #expect(Own.waits { causes.withLock { $0.contains(.tick) } })
            let error = #expect(throws: AccessError.self) {
                try quiet.enableInterrupts(9, preferring: [.msi, .msix]) { _ in }
            }
            #expect(error?.code == .noInterrupts)
        }
    }
}
