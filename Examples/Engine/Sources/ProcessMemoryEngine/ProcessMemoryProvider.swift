// SPDX-License-Identifier: Apache-2.0

public import DMADriverKit

// snippet: engine-provider
/// Offers the engine to a system: `DMASystem(providers: [ProcessMemoryProvider()])`, or `DMACtl.main(providers: [ProcessMemoryProvider()])`.
public struct ProcessMemoryProvider: EngineProvider {
    /// Why the kernel does not permit the calls; nil where it does. Determined once, so that a listing costs no system call.
    private let refusal: Refusal?

    /// Tries the calls on two bytes of this process.
    public init() {
        do throws(DMAError) {
            _ = try ProcessMemoryEngine()
            refusal = nil
        } catch {
            refusal = Refusal(error)
        }
    }

    /// One offer, present or absent; a provider for devices returns one for each of them.
    public func probe() -> [EngineOffer] {
        // Two sentences, one per line: the reason and the cure.
        let absence = refusal.map { EngineAbsence(reason: $0.reason, cure: $0.cure) }
        return [
            EngineOffer(
                name: "process-memory", channels: 8, capabilities: ProcessMemoryEngine.offeredCapabilities, absence: absence)
        ]
    }

    /// There is no device that could be busy or gone, and nothing to close. A provider with devices opens one here, throws
    /// `DeviceHolder.busy(path)` or `deviceGone` where it cannot, passes its domain, and lets `openChannel` capture an object
    /// whose `deinit` closes it.
    public func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in try ProcessMemoryEngine() }
    }
}
// end
