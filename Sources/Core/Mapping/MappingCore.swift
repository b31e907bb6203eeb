// SPDX-License-Identifier: Apache-2.0

/// Where a call stands in the client's source, for reports.
struct Origin: Sendable {
    let file: StaticString
    let line: UInt
}

/// What kind of mapping was asked for; it ends as the same kind (rule 33).
enum MappingKind: String, Sendable {
    case single, list, coherent
}

/// One stretch of the client's memory in a mapping: the original, to which unmap and sync refer (rule 32).
struct MappedEntry: Sendable {
    let memory: Memory
    /// Into `memory`. Bytes.
    let offset: Int
    let count: Int
    /// The stand-in that the device reaches, and where in it this entry begins.
    var bounce: Memory?
    var bounceOffset = 0

    var cpuAddress: UInt64 { memory.address + UInt64(offset) }
    /// The memory that the device works on, and the place in it.
    var deviceMemory: Memory { bounce ?? memory }
    var deviceOffset: Int { bounce == nil ? offset : bounceOffset }
    /// CPU address of what the device works on.
    var deviceAddress: UInt64 { deviceMemory.address + UInt64(deviceOffset) }
}

/// A mapping as a value: everything that is needed to end it. It keeps the memory alive, and owns no device.
struct MappingCore: Sendable {
    let identifier: UInt64
    let kind: MappingKind
    let direction: Direction
    let origin: Origin
    var entries: [MappedEntry]
    /// One for each successful call of the backend's `map`. Empty where nothing translates.
    var translations: [BusRange] = []
    /// What was taken from the allocator. Empty where nothing translates.
    var allocations: [BusRange] = []
    /// What the device is programmed with.
    var regions: [RegionWords] = []

    /// Bytes as asked. Cannot overflow: the domain checked the sum.
    var byteCount: UInt64 { entries.reduce(0) { $0 + UInt64($1.count) } }
    var wasBounced: Bool { entries.contains { $0.bounce != nil } }
}

/// Copies between an entry and its bounce memory, and maintains caches: what "sync" means (rules 35, 36 and 39).
extension MappedEntry {
    /// Whose turn it is after the sync.
    enum Turn { case cpu, device }

    /// - Parameter range: into the entry; checked by the caller.
    /// - Returns: bytes copied.
    func sync(for turn: Turn, _ range: Range<Int>, _ direction: Direction, _ constraints: DeviceConstraints) -> UInt64 {
        switch turn {
        case .cpu:
            if !constraints.isCoherent { flush(range, constraints) }
            guard direction != .toDevice, let bounce else { return 0 }
            bounce.copy(range.count, from: bounceOffset + range.lowerBound, to: memory, at: offset + range.lowerBound)
        case .device:
            guard let bounce else {
                if !constraints.isCoherent { flush(range, constraints) }
                return 0
            }
            // In every direction: a device that writes only part of what it may must not expose what the bounce memory
            // held before (the kernel does so since 5.18, kernel/dma/swiotlb.c, swiotlb_tbl_map_single).
            memory.copy(range.count, from: offset + range.lowerBound, to: bounce, at: bounceOffset + range.lowerBound)
            if !constraints.isCoherent { flush(range, constraints) }
        }
        return UInt64(range.count)
    }

    private func flush(_ range: Range<Int>, _ constraints: DeviceConstraints) {
        deviceMemory.flushCaches(deviceOffset + range.lowerBound, range.count, line: Int(constraints.cacheLineSize))
    }
}
