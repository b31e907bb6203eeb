// SPDX-License-Identifier: Apache-2.0

/// A range of bus addresses that a mapping or the quarantine holds: words, which keep nothing alive.
@frozen
public struct MappedRange: Hashable, Sendable {
    /// Bus address of the first byte.
    public let start: IOVA
    /// Bytes.
    public let count: UInt64
    /// The device's permissions.
    public let access: DeviceAccess

    @inlinable
    init(_ words: RegionWords) {
        start = IOVA(words.start)
        count = words.count
        access = words.access
    }
}

extension Cargo where Self: ~Copyable {
    /// Region `index` as words that can be stored; nil where that number does not exist.
    public func range(at index: Int) -> MappedRange? {
        let region = region(at: index)
        return region.isNone ? nil : region.range
    }

    /// The numbers of the regions that an operation can name, whatever count a client's own cargo reports.
    @inlinable
    var nameableRegions: Range<Int> { 0..<min(max(regionCount, 0), Int(UInt16.max) + 1) }

    /// The ranges of all regions that an operation can name, as words that can be stored.
    public var ranges: [MappedRange] {
        var ranges: [MappedRange] = []
        for index in nameableRegions { ranges.append(region(at: index).range) }
        return ranges
    }
}
