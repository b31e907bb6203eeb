// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// The places of peripheral transfers, and commands to peripherals.
@Suite("Places and commands")
struct PlaceTests {
    let place = Place()

    @Test("a command of the capabilities completes; another one, and a place beyond 2⁶³, are refused with the reason")
    func commands() throws {
        var channel = try Channel(try ChainEngine(domain: place.domain), domain: place.domain, of: NoCargo.self)
        let cookie = try channel.submit(.command(.flush), NoCargo()).get()
        channel.issuePending()
        #expect(channel.soonCookie() == cookie)
        do {
            let code = channel.submit(.command(.discard, at: .at(0), count: 1), NoCargo()).refusal()
            #expect(code == .unsupportedCommand)
        }
        do {
            let code = channel.submit(.command(.flush, at: .at(UInt64(Int64.max)), count: 1), NoCargo()).refusal()
            #expect(code == .outOfRange)
        }
        do {
            let code = channel.submit(.command(.flush, count: 1 << 21), NoCargo()).refusal()
            #expect(code == .sizeOverflow)
        }
        let nothing = place.domain
        var memory = try Channel(RingEngine(entries: 4), domain: nothing, of: NoCargo.self)
        let code = memory.submit(.command(.flush), NoCargo()).refusal()
        #expect(code == .unsupportedOperation)
    }

    @Test("a transfer that would end beyond 2⁶³ in its peripheral is refused")
    func positions() throws {
        var channel = try Channel(try ChainEngine(domain: place.domain), domain: place.domain, of: MappedBuffer.self)
        for position in [UInt64(Int64.max) - 62, UInt64.max - 1] {
            let code =
                channel.submit(.toPeripheral(0..<1, at: .at(position)), try place.buffer(64, .toDevice)).refusal()
            #expect(code == .outOfRange)
        }
        let code = channel.submit(.toPeripheral(0..<1, at: .at(UInt64(Int64.max) - 64)), try place.buffer(64, .toDevice))
            .refusal()
        #expect(code == nil)
    }

    @Test("a descriptor names the peripheral, the position and the command")
    func words() {
        var descriptor = unsafe Descriptor(kind: .peripheral, value: 4096)
        descriptor.detail = SIMD4(8, 0, 0, 0)
        #expect(descriptor.place == PeripheralPlace(number: 7, position: 4096))
        #expect(descriptor.command == nil)
        descriptor = unsafe Descriptor(kind: .command, value: .max)
        descriptor.detail = SIMD4(0, UInt64(PeripheralCommand.move.rawValue), 1, 9)
        #expect(descriptor.place == .configured)
        #expect(descriptor.command == .move)
        #expect(descriptor.secondPlace == PeripheralPlace(number: 0, position: 9))
        #expect(PeripheralCommandSet([.flush, .discard]).commands == [.flush, .discard])
    }
}
