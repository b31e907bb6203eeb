// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMADevices
import DMATestSupport
import Foundation
import Testing

@Suite("Engines of named devices", .serialized)
struct DeviceProviderTests {
    private func failure(_ texts: [String]) -> DeviceFailure? {
        do throws(DeviceFailure) {
            var addresses: [DeviceAddress] = []
            for text in texts { if let address = try DeviceAddress(text) { addresses.append(address) } }
            _ = try DeviceProvider(opening: addresses)
            return nil
        } catch { return error }
    }

    private func copies(_ address: DeviceAddress) async throws {
        let devices = try DeviceProvider(opening: [address])
        let system = DMASystem(providers: [devices])
        let listing = try #require(system.engines.first)
        #expect(listing.offer.name == devices.names[0] && listing.offer.absence == nil && listing.channelNames.count == 1)
        // Opened, closed, and opened again.
        for round in 0..<3 {
            try await copy(on: system, devices.names[0], seed: round)
            // A shared channel closes on its own task.
            let end = Date() + 30
            while system.engines[0].channelsInUse > 0, Date() < end { try await Task.sleep(for: .milliseconds(5)) }
            #expect(system.engines[0].channelsInUse == 0)
        }
    }

    private func copy(on system: DMASystem, _ name: String, seed: Int) async throws {
        let channel = try system.share(ChannelRequest(name: name))
        func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index * 7 + seed) }
        var source = try Buffer(count: 5000)
        for index in 0..<5000 { try source.store(byte(index), at: index) }
        let mapped = try source.mapped(for: channel.domain, direction: .toDevice)
        var target = try Buffer(count: 5000).mapped(for: channel.domain, direction: .fromDevice)
        try await channel.copy(mapped, to: &target)
        let bytes = try target.unmap()
        #expect(try (0..<5000).allSatisfy { try bytes.load(at: $0, as: UInt8.self) == byte($0) })
        // It has one channel.
        #expect(throws: DMAError.self) { _ = try system.share(ChannelRequest(name: name)) }
        withExtendedLifetime(channel) {}
    }

    @Test("a model in this process copies")
    func model() async throws { try await copies(.model("edu")) }

    @Test(
        "a device of QEMU copies, in the slot that is named or in a free one",
        .enabled(
            if: Machine.has("qemu-system-x86_64"),
            "qemu-system-x86_64 is not installed; Debian: apt-get install qemu-system-x86"),
        arguments: ["edu", "edu,addr=0x9"])
    func qemu(_ device: String) async throws { try await copies(.qtest(machine: "q35", device: device)) }

    @Test("two devices have two names, also where they have one address")
    func twice() throws {
        let devices = try DeviceProvider(opening: [.model("edu"), .model("edu")])
        #expect(devices.names == ["model:edu", "model:edu#2"])
        #expect(DMASystem(providers: [devices]).engines.allSatisfy { $0.offer.absence == nil })
    }

    @Test("what is no device says so, with the cure")
    func refused() {
        #expect(failure(["model:nvme"])?.detail == "there is no model \"nvme\"")
        #expect(failure(["qtest:q35,edu,addr=99"])?.detail.contains("no slot") == true)
    }

    @Test(
        "QEMU's own refusal is passed on",
        .enabled(
            if: Machine.has("qemu-system-x86_64"),
            "qemu-system-x86_64 is not installed; Debian: apt-get install qemu-system-x86"))
    func qemuRefuses() {
        #expect(failure(["qtest:q35,nonexistent"])?.detail.contains("nonexistent") == true)
        #expect(failure(["qtest:nonexistent,edu"])?.detail.contains("unsupported machine type") == true)
        // A device that no driver is for.
        #expect(failure(["qtest:q35,virtio-rng-pci"])?.detail.contains("no driver is for 1af4:") == true)
    }
}
