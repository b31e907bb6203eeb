// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDUSpecification
import DMARegisters
import DMAVFIOAccess

/// An EDU that is told each transfer by itself, right or wrong.
struct BareEDU: ~Copyable {
    let device: RunningDevice
    private let registers: RegisterWindow

    init(_ device: VFIODevice) throws(AccessError) {
        let quiet = try QuietDevice(opening: device, constraints: EDUConfiguration().constraints)
        let window = try quiet.window(EDU.registers, atLeast: EDU.command.offset + 8)
        let running = try quiet.start()
        registers = window
        self.device = running
    }

    /// One transfer between the device's buffer and a bus address, to its end.
    func transfer(_ direction: EDUDirection, _ address: UInt64, _ count: UInt64) throws {
        let isLoad = direction == .memoryToDevice
        registers.write(isLoad ? address : EDU.buffer, to: EDU.source)
        registers.write(isLoad ? EDU.buffer : address, to: EDU.destination)
        registers.write(count, to: EDU.count)
        registers.write(EDUCommand(direction, interrupts: false), to: EDU.command)
        let deadline = Deadline.after(milliseconds: 60_000)
        while registers.read(EDU.command)[.isRunning] {
            guard Deadline.now < deadline else { throw Failure("a transfer of the EDU did not end within 60 s") }
            device.pause(until: deadline)
        }
    }

    /// Stops it, and closes it.
    consuming func close() throws {
        let registers = registers
        switch device.stop(until: .after(milliseconds: 60_000), { !registers.read(EDU.command)[.isRunning] }) {
        case .stopped: return
        case .running(_, let error): throw error
        }
    }
}

/// The device writes where memory was mapped before: the memory keeps its bytes, and the kernel's log names the address.
func unmapped(_ address: String, log: FaultLog) throws -> String {
    let vfio = try VFIODevice(address)
    let edu = try BareEDU(vfio)
    let domain = edu.device.domain
    let source = try Buffer(count: 4096, for: domain, seed: 7).mapped(for: domain, direction: .toDevice)
    let target = try Buffer(count: 4096, for: domain, seed: 9).mapped(for: domain, direction: .fromDevice)
    let stale = target.iova.rawValue
    let kept = try target.unmap()
    let before = log.lines().count
    try edu.transfer(.memoryToDevice, source.iova.rawValue, EDU.largestTransfer)
    // What the device was given it reads; there it must not write.
    try edu.transfer(.deviceToMemory, stale, EDU.largestTransfer)
    guard kept.has(9) else { throw Failure("the device wrote to memory that was unmapped") }
    let line = try log.awaitFault(at: stale, after: before)
    // And where nothing has ever been mapped.
    let wild: UInt64 = 0x0800_0000
    let second = log.lines().count
    try edu.transfer(.deviceToMemory, wild, 64)
    // QEMU 7.2's virtio-iommu has reported the first of two faults and not the second.
    if log.reportsEach { _ = try log.awaitFault(at: wild, after: second) }
    guard kept.has(9) else { throw Failure("the device wrote to memory that was unmapped") }
    let first = try source.unmap()
    guard first.has(7) else { throw Failure("the source has changed") }
    try edu.close()
    return "4096 bytes untouched; \(line)"
}

/// The device writes to memory that is mapped for reading.
func readOnly(_ address: String, log: FaultLog) throws -> String {
    let edu = try BareEDU(try VFIODevice(address))
    let domain = edu.device.domain
    let other = try Buffer(count: 4096, for: domain, seed: 11).mapped(for: domain, direction: .toDevice)
    let source = try Buffer(count: 4096, for: domain, seed: 13).mapped(for: domain, direction: .toDevice)
    let target = try Buffer(count: 4096, for: domain, seed: 15).mapped(for: domain, direction: .fromDevice)
    let before = log.lines().count
    let place = source.iova.rawValue
    try edu.transfer(.memoryToDevice, other.iova.rawValue, EDU.largestTransfer)
    try edu.transfer(.deviceToMemory, place, EDU.largestTransfer)
    let line = try log.awaitFault(at: place, after: before)
    // The same bytes where it may write: the device has them, and it works.
    try edu.transfer(.deviceToMemory, target.iova.rawValue, EDU.largestTransfer)
    let first = try source.unmap()
    guard first.has(13) else { throw Failure("the device wrote to memory that is mapped for reading") }
    let moved = try target.unmap()
    let last = Int(EDU.largestTransfer) - 1
    let expected = try other.unmap()
    guard try moved.load(at: last, as: UInt8.self) == expected.load(at: last, as: UInt8.self) else {
        throw Failure("the device did not write where it may")
    }
    try edu.close()
    return "4096 bytes untouched; \(line)"
}

/// Memory is mapped before the device is opened, and stays so over three openings: each time the device reaches it.
func reopened(_ address: String) throws -> String {
    let vfio = try VFIODevice(address)
    let domain = Domain(name: "pool", constraints: EDUConfiguration().constraints, space: vfio.space)
    let source = try Buffer(count: 4096, for: domain, seed: 17).mapped(for: domain, direction: .toDevice)
    var target = try Buffer(count: 4096, for: domain, seed: 19).mapped(for: domain, direction: .bidirectional)
    guard vfio.mappings == 0 else { throw Failure("\(vfio.mappings) mappings without a device") }
    let count = Int(EDU.largestTransfer)
    for round in 0..<3 {
        try target.withMutableCPUAccess { bytes throws(DMAError) in
            for place in 0..<4096 { try bytes.store(UInt8(0xee), at: place) }
        }
        let edu = try BareEDU(vfio)
        guard vfio.mappings == 2 else { throw Failure("\(vfio.mappings) of 2 mappings in opening \(round)") }
        try edu.transfer(.memoryToDevice, source.iova.rawValue, EDU.largestTransfer)
        try edu.transfer(.deviceToMemory, target.iova.rawValue, EDU.largestTransfer)
        try edu.close()
        guard vfio.mappings == 0 else { throw Failure("\(vfio.mappings) mappings after closing \(round)") }
        let isRight = try source.withCPUAccess { from throws(DMAError) in
            try target.withCPUAccess { to throws(DMAError) in
                for place in 0..<count where try from.load(at: place, as: UInt8.self) != to.load(at: place, as: UInt8.self) {
                    return false
                }
                return true
            }
        }
        guard isRight else { throw Failure("other bytes in opening \(round)") }
    }
    _ = try target.unmap()
    _ = try source.unmap()
    return "2 mappings programmed again in each of 3 openings"
}

/// Two devices in one address space: what is mapped once, both reach.
func shared(_ address: String, _ other: String) throws -> String {
    let one = try VFIODevice(address)
    let two = try VFIODevice(other, sharing: one)
    let domain = Domain(name: "both", constraints: EDUConfiguration().constraints, space: one.space)
    let source = try Buffer(count: 4096, for: domain, seed: 21).mapped(for: domain, direction: .toDevice)
    let first = try BareEDU(one)
    let second = try BareEDU(two)
    let target = try Buffer(count: 4096, for: domain, seed: 23).mapped(for: domain, direction: .fromDevice)
    guard one.mappings == 2 else { throw Failure("\(one.mappings) of 2 mappings") }
    try first.transfer(.memoryToDevice, source.iova.rawValue, EDU.largestTransfer)
    // The first leaves: the mappings of the second stay.
    try first.close()
    try second.transfer(.memoryToDevice, source.iova.rawValue, EDU.largestTransfer)
    try second.transfer(.deviceToMemory, target.iova.rawValue, EDU.largestTransfer)
    try second.close()
    let moved = try target.unmap()
    let expected = try source.unmap()
    for place in 0..<Int(EDU.largestTransfer) {
        guard try moved.load(at: place, as: UInt8.self) == expected.load(at: place, as: UInt8.self) else {
            throw Failure("the second device moved other bytes at \(place)")
        }
    }
    return "\(address) and \(other) in one container; one closed, the other went on"
}
