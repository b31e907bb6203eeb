// SPDX-License-Identifier: Apache-2.0
// A program as a client of release 0.2 has it: what is new there. It is not changed after that release.

import DMA
import DMACPUEngine
import DMACore
import DMADriverKit

/// A value that is not what it must be.
struct Wrong: Error {
    let what: String
    init(_ what: String) { self.what = what }
}

func require(_ condition: Bool, _ what: String) throws {
    if !condition { throw Wrong(what) }
}

/// Two cards of one kind; the first is another process's.
struct CardProvider: EngineProvider {
    func probe() -> [EngineOffer] {
        ["03", "04"].compactMap { bus in
            guard let slot = DeviceSlot("0000:\(bus):00.0") else { return nil }
            let device = DeviceIdentity(vendor: 0x8086, device: 0x1521, slot: slot, isolation: .none)
            var offer = EngineOffer(
                name: "card-\(bus)", channels: 1, capabilities: CPUConfiguration(depth: 8).capabilities, device: device)
            offer.peripherals = [PeripheralFacts(number: 0, blockSize: 512, capacity: 1 << 30)]
            return [offer].first
        }
    }

    func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        if offer.name == "card-03" { throw DeviceHolder.busy("/dev/vfio/12") }
        return EngineDevice(offer) { _ throws(DMAError) in AnyEngine(try CPUEngine(CPUConfiguration(depth: 8))) }
    }
}

/// What the policy lets through, and how it says so.
func governed() throws {
    let refusing = DMASystem(providers: [CardProvider()])
    try require(refusing.engines.allSatisfy { $0.offer.absence != nil }, "a refusal")
    let policy = try DevicePolicy(
        parsing: Array("trust 8086:1521\nwaive 0000:03:00.0 a test\nwaive 0000:04:00.0 a test\n".utf8))
    let system = DMASystem(providers: [CardProvider()], policy: policy)
    try require(system.engines.allSatisfy { $0.waiver?.contains("a test") == true }, "waivers")
    let granted = try system.requestChannel(ChannelRequest(.copy), of: MappedBuffer.self)
    try require(granted.info.engine == "card-04", "the second card")
    try require(granted.info.peripherals.first?.blockSize == 512, "a peripheral's facts")
    do throws(DMAError) {
        _ = try system.requestChannel(ChannelRequest(name: "card-03"), of: MappedBuffer.self)
        throw DMAError(.engineFailed)
    } catch { try require(error.code == .deviceBusy, "a busy device") }
}

try governed()
try addressSpace()
try foreignMemory()
try copies()
try await oneLine()
try await pooled()
try ring()
print("client 0.2: devices, address spaces, memory of a peer, copies, channels and a ring")
