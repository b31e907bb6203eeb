// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUSpecification
import DMAInProcessAccess
import DMAPCISpecification
import DMARegisters

/// A model behind a way that cannot reset it, as QEMU's own EDU; when it is claimed, a transfer of a former owner runs.
final class Unresettable: DeviceTransport {
    private let inner: InProcessDevice
    init(_ inner: InProcessDevice) { self.inner = inner }

    var name: String { inner.name }
    var space: AddressSpace { inner.space }
    var goneReason: String? { inner.goneReason }
    var isDead: Bool { inner.isDead }
    func claim() throws(AccessError) {
        try inner.claim()
        inner.writeConfiguration(6, PCIOffset.command, .half)
        guard let region = try inner.regions().first else { return }
        let window = RegisterWindow(region.path, count: Int(region.count))
        window.write(0x10_0000, to: EDU.source)
        window.write(EDU.buffer, to: EDU.destination)
        window.write(4096, to: EDU.count)
        window.write(EDUCommand(.memoryToDevice, interrupts: false), to: EDU.command)
    }
    func release() { inner.release() }
    func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod { .none }
    var configurationCount: Int { inner.configurationCount }
    func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 { inner.readConfiguration(offset, width) }
    func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        inner.writeConfiguration(value, offset, width)
    }
    func regions() throws(AccessError) -> [DeviceRegion] { try inner.regions() }
    func interruptCount(_ kind: InterruptKind) -> Int { inner.interruptCount(kind) }
    func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) { try inner.enableInterrupts(kind, count: count, handler) }
    func rearmInterrupts() throws(AccessError) { try inner.rearmInterrupts() }
    func disableInterrupts() throws(AccessError) { try inner.disableInterrupts() }
    var deliversInterrupts: Bool { inner.deliversInterrupts }
    func look() { inner.look() }
    func pause(until deadline: Deadline) { inner.pause(until: deadline) }
}
