// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAEngineKit
import Testing

@Suite("Devices of providers")
struct DeviceTests {
    private func request(_ system: DMASystem, _ name: String) throws(DMAError) -> GrantedChannel<MappedBuffer> {
        try system.requestChannel(ChannelRequest(name: name), of: MappedBuffer.self)
    }

    @Test("a device is opened with its first channel, closed with its last, and never twice at once")
    func life() throws {
        let provider = ScriptedProvider([ScriptedProvider.offer("card")])
        let system = DMASystem(providers: [provider])
        _ = system.engines
        #expect(provider.script.withLock { $0.opened.isEmpty })
        do {
            let first = try request(system, "card/0")
            do {
                let second = try request(system, "card/1")
                #expect(first.domain.id == second.domain.id)
            }
            #expect(provider.script.withLock { $0.isOpen } == ["card"])
            _ = consume first
        }
        #expect(provider.script.withLock { $0.isOpen.isEmpty })
        _ = try request(system, "card")
        #expect(provider.script.withLock { ($0.opened["card"], $0.isOpen.isEmpty, $0.faults) } == (2, true, []))
    }

    @Test("several devices of one kind: each has its own channels, and the next one is used where one is full, busy or gone")
    func several() throws {
        let provider = ScriptedProvider(["a", "b", "c", "d"].map { ScriptedProvider.offer($0, channels: 1) })
        provider.set("b", .fails(DMAError(.deviceBusy, asked: 4711)))
        provider.set("c", .fails(DMAError(.deviceGone)))
        let system = DMASystem(providers: [provider])
        let first = try system.requestChannel(ChannelRequest(.copy), of: MappedBuffer.self)
        let second = try system.requestChannel(ChannelRequest(.copy), of: MappedBuffer.self)
        #expect(first.info.name == "a/0" && second.info.name == "d/0")
        #expect(first.domain.id != second.domain.id)
        // No device is left: the error is the first one's, which has a cure.
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.deviceBusy, asked: 4711))
        #expect(refusal(system, ChannelRequest(name: "c")) == DMAError(.deviceGone))
        #expect(refusal(system, ChannelRequest(name: "a")) == DMAError(.channelBusy))
        #expect(provider.script.withLock { $0.faults.isEmpty && $0.isOpen == ["a", "d"] })
        #expect(system.engines.map(\.channelsInUse) == [1, 0, 0, 1])
    }

    @Test("any other error ends the request, and releases the name")
    func otherErrors() throws {
        let provider = ScriptedProvider(["a", "b"].map { ScriptedProvider.offer($0) })
        provider.set("a", .fails(DMAError(.kernelRefused, errno: 13)))
        let system = DMASystem(providers: [provider])
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.kernelRefused, errno: 13))
        provider.set("a", .works)
        #expect(try request(system, "a/0").info.name == "a/0")
    }

    @Test("a device that disappears between the listing and the opening is deviceGone; a new one is found")
    func comesAndGoes() throws {
        let provider = ScriptedProvider([ScriptedProvider.offer("a")])
        let system = DMASystem(providers: [provider])
        let listed = try #require(system.engines.first)
        provider.script.withLock { $0.offers = [] }
        provider.set("a", .fails(DMAError(.deviceGone)))
        #expect(throws: DMAError(.deviceGone)) { _ = try system.use(listed) }
        #expect(refusal(system, ChannelRequest(.copy)) == DMAError(.noSuchChannel))
        provider.script.withLock { $0.offers = [ScriptedProvider.offer("b")] }
        #expect(try request(system, "b").info.name == "b/0")
    }

    @Test("the open device's actual capabilities are granted; if they do not fit, the next device is used")
    func realCapabilities() throws {
        let provider = ScriptedProvider(["a", "b"].map { ScriptedProvider.offer($0, operations: [.copy, .fill]) })
        provider.set("a", .differs(channels: 1, operations: [.copy]))
        let system = DMASystem(providers: [provider])
        #expect(try system.requestChannel(ChannelRequest(.fill), of: MappedBuffer.self).info.name == "b/0")
        let granted = try request(system, "a")
        #expect(granted.info.capabilities.operations == [.copy])
        #expect(refusal(system, ChannelRequest(name: "a/1")) == DMAError(.noSuchChannel))
        #expect(refusal(system, ChannelRequest(.fill, name: "a/1")) == DMAError(.noSuchChannel))
        _ = consume granted
        #expect(provider.script.withLock { $0.isOpen.isEmpty && $0.channels.isEmpty })
    }

    @Test("a peripheral's facts are available before opening and after it")
    func peripherals() throws {
        let facts = PeripheralFacts(number: 1, blockSize: 4096, capacity: 1 << 40, maximumTransfer: 1 << 20)
        let provider = ScriptedProvider([ScriptedProvider.offer("disk", peripherals: [facts])])
        let system = DMASystem(providers: [provider])
        #expect(system.engines.first?.offer.peripherals == [facts])
        var seen: [PeripheralFacts] = []
        let filter = ChannelRequest(filter: { $0.peripherals.first?.blockSize == 4096 })
        let granted = try system.requestChannel(filter, of: MappedBuffer.self)
        seen = granted.info.peripherals
        #expect(seen == [facts])
        #expect(PeripheralFacts(number: 0, blockSize: 0).blockSize == 1)
    }

    @Test("impossible offers are listed as absent, and nothing traps")
    func badOffers() {
        let names = ["", "a/b", "a b", "a\u{1b}[2J", "\u{202e}a", String(repeating: "x", count: 65), "good", "good"]
        var offers = names.map { ScriptedProvider.offer($0) }
        offers.append(ScriptedProvider.offer("negative", channels: -1))
        offers.append(ScriptedProvider.offer("huge", channels: .max))
        let system = DMASystem(providers: [ScriptedProvider(offers)])
        let listings = system.engines
        #expect(
            listings.map { $0.offer.absence == nil } == [false, false, false, false, false, false, true, false, true, true])
        #expect(listings.allSatisfy { listing in listing.offer.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } })
        #expect(listings.suffix(2).map(\.channelNames.count) == [0, 65_536])
        #expect(refusal(system, ChannelRequest(name: "negative/0")) == DMAError(.noSuchChannel))
        #expect(refusal(system, ChannelRequest(name: "good/1")) == nil)
    }

    @Test("many threads request channels of a device that opens slowly: it is opened once, and closed once all have ended")
    func contention() async throws {
        let provider = ScriptedProvider([ScriptedProvider.offer("card", channels: 8)])
        provider.script.withLock { $0.beforeOpening = { usleepAMoment() } }
        let system = DMASystem(providers: [provider])
        for _ in 0..<20 {
            let names = await withTaskGroup(of: String?.self) { group in
                for _ in 0..<8 {
                    group.addTask { try? system.requestChannel(ChannelRequest(.copy), of: MappedBuffer.self).info.name }
                }
                var names: [String?] = []
                for await name in group { names.append(name) }
                return names
            }
            #expect(names.allSatisfy { $0 != nil })
            #expect(provider.script.withLock { $0.isOpen.isEmpty && $0.channels.isEmpty })
        }
        #expect(provider.script.withLock { $0.faults } == [])
    }

    @Test("a system's CPU engine has the same address space at each request")
    func sameDomain() throws {
        let system = DMASystem()
        for name in ["cpu", "cpu-threads"] {
            let first = try request(system, name).domain
            #expect(try request(system, name).domain.id == first.id)
        }
    }
}

/// One millisecond.
private func usleepAMoment() {
    let end = Deadline.after(milliseconds: 1)
    while Deadline.now < end {}
}
