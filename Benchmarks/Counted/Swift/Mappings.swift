// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

// The cost of map and unmap: a buffer of 4 KiB, and a list of 256 entries none of which are adjacent.

/// An IOMMU that does nothing.
private final class NothingBackend: MappingBackend {
    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {}
    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 { count }
}

private func mappingDomain(isTranslated: Bool) throws(DMAError) -> Domain {
    guard isTranslated else { return Domain(name: "mapping") }
    let translation = Translation.translated(
        NothingBackend(), apertures: [0x10_0000...(1 << 48) - 1], pageSizes: [4096, 2 << 20])
    return try Domain(name: "mapping", translation: translation)
}

/// Maps and unmaps one buffer repeatedly.
@inline(never)
func hotMap(_ domain: Domain, _ buffer: consuming Buffer, _ operations: UInt64) throws(DMAError) -> UInt64 {
    var buffer = buffer
    var sum: UInt64 = 0
    for _ in 0..<operations {
        let mapped = try buffer.mapped(for: domain, direction: .bidirectional)
        sum &+= mapped.iova.rawValue
        buffer = try mapped.unmap()
    }
    return sum | 1
}

/// The same of a list.
@inline(never)
func hotMapList(_ domain: Domain, _ list: consuming ScatterList, _ operations: UInt64) throws(DMAError) -> UInt64 {
    var list = list
    var sum: UInt64 = 0
    for _ in 0..<operations {
        let mapped = try list.mapped(for: domain, direction: .bidirectional)
        sum &+= UInt64(mapped.regionCount)
        list = try mapped.unmap()
    }
    return sum
}

/// Runs a variant; nil for an unknown name. A list is one entry in 256: its operations are those of the list divided.
func runMappings(_ variant: String, _ operations: UInt64) throws(DMAError) -> UInt64? {
    let isTranslated = variant.hasSuffix("-translated")
    let domain = try mappingDomain(isTranslated: isTranslated)
    switch variant {
    case "map", "map-translated":
        return try hotMap(domain, try Buffer(count: 4096), operations)
    case "map-many", "map-many-translated":
        // As many live mappings as a counting tool has time for: of one buffer of raw memory, so that they need none.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe memory.deallocate() }
        let raw = UnsafeMappings(domain)
        for _ in 0..<20_000 { _ = unsafe try raw.map(address: memory, count: 4096, direction: .toDevice) }
        return try hotMap(domain, try Buffer(count: 4096), operations)
    case "map-list256", "map-list256-translated":
        var list = ScatterList()
        let memory = list.appendWithoutEntry(try Buffer(count: 512 * 4096, alignment: 4096))
        for index in 0..<256 { try list.appendEntry(buffer: memory, range: index * 8192..<index * 8192 + 4096) }
        return try hotMapList(domain, list, max(1, operations / 256))
    case "map-sanitized":
        Sanitizer.enable()
        return try hotMap(domain, try Buffer(count: 4096), operations)
    default: return nil
    }
}
