// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMADevices
import DMATestSupport
import Foundation
import Testing

@Suite("Models that are served", .serialized)
struct ServerTests {
    private func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index &* 31 &+ 7) }

    private func copy(on system: DMASystem, _ name: String) async throws {
        let channel = try system.share(ChannelRequest(name: name))
        var source = try Buffer(count: 20_000)
        for index in 0..<20_000 { try source.store(byte(index), at: index) }
        let mapped = try source.mapped(for: channel.domain, direction: .toDevice)
        var target = try Buffer(count: 20_000).mapped(for: channel.domain, direction: .fromDevice)
        try await channel.copy(mapped, to: &target)
        let bytes = try target.unmap()
        #expect(try (0..<20_000).allSatisfy { try bytes.load(at: $0, as: UInt8.self) == byte($0) })
    }

    @Test("a driver reaches a served model by its address, and so does the next client", arguments: DeviceModels.names)
    func copies(_ model: String) async throws {
        let scratch = try Scratch()
        let server = try ModelServer(model, at: scratch.at("socket"))
        let address = try #require(try DeviceAddress("vfio-user:\(scratch.at("socket"))"))
        for client in 1...3 {
            do {
                let devices = try DeviceProvider(opening: [address])
                #expect(devices.names[0].utf8.count <= 64 && !devices.names[0].contains("/"))
                try await copy(on: DMASystem(providers: [devices]), devices.names[0])
            }
            let end = Date() + 20
            while server.state.hasClient, Date() < end { try await Task.sleep(for: .milliseconds(5)) }
            #expect(server.state.clients == UInt64(client) && !server.state.hasClient && server.state.violations == 0)
        }
        server.stop()
        do throws(DeviceFailure) {
            _ = try DeviceProvider(opening: [address])
            Issue.record("nothing listens any more")
        } catch { #expect(!error.cure.isEmpty, "\(error)") }
    }

    @Test("a path that is taken, and one that cannot be, are refused with the cure")
    func refused() throws {
        let scratch = try Scratch()
        _ = try scratch.write("file", [1])
        let server = try ModelServer("edu", at: scratch.at("socket"))
        for path in [scratch.at("file"), scratch.at("socket"), scratch.at("no/such/folder"), ""] {
            do throws(DeviceFailure) {
                _ = try ModelServer("edu", at: path)
                Issue.record("\(path)")
            } catch { #expect(error.cure.hasSuffix("."), "\(error)") }
        }
        do throws(DeviceFailure) {
            _ = try ModelServer("nvme", at: scratch.at("other"))
            Issue.record("there is no such model")
        } catch { #expect(error.cure.contains("ioat"), "\(error)") }
        withExtendedLifetime(server) {}
    }

    @Test("a device of this machine that is not there, and one that has no VFIO, are refused with the cure")
    func noDevice() throws {
        for text in ["0000:ff:1f.7", "vfio-user:/nowhere/socket"] {
            let address = try #require(try DeviceAddress(text))
            do throws(DeviceFailure) {
                _ = try DeviceProvider(opening: [address])
                Issue.record("\(text)")
            } catch { #expect(error.address == text && !error.detail.isEmpty && error.cure.hasSuffix("."), "\(error)") }
        }
    }
}
