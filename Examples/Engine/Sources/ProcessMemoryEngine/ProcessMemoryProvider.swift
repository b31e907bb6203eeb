// SPDX-License-Identifier: Apache-2.0

public import DMADriverKit

// snippet: engine-provider
/// Offers the engine to a system: `DMASystem(providers: [ProcessMemoryProvider()])`, or `DMACtl.main(providers: [ProcessMemoryProvider()])`.
public struct ProcessMemoryProvider: EngineProvider {
    /// Why the kernel does not permit the calls; nil where it does. Asked once: no listing is to cost a system call.
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

    /// One offer, present or absent; a provider of devices has one for each of them.
    public func probe() -> [EngineOffer] {
        // Two sentences, one a line: what is wrong, and what to change.
        let absence = refusal.map { EngineAbsence(reason: $0.reason, cure: $0.cure) }
        return [
            EngineOffer(
                name: "process-memory", channels: 8, capabilities: ProcessMemoryEngine.offeredCapabilities, absence: absence)
        ]
    }

    /// There is no device behind it that could be busy or gone, and nothing to be closed. A provider that has one opens it here, throws
    /// `DeviceHolder.busy(path)` or `deviceGone` where it cannot, gives its domain, and lets `openChannel` hold what its `deinit` closes.
    public func open(_ offer: EngineOffer) throws(DMAError) -> EngineDevice {
        EngineDevice(offer) { _ throws(DMAError) in try ProcessMemoryEngine() }
    }
}
// end
