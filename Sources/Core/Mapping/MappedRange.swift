// SPDX-License-Identifier: Apache-2.0

/// A range of bus addresses that a mapping made or a quarantine holds: words, which keep nothing alive.
@frozen
public struct MappedRange: Hashable, Sendable {
    /// The first byte, as the device sees it.
    public let start: IOVA
    /// Bytes.
    public let count: UInt64
    /// What the device may do there.
    public let access: DeviceAccess

    @inlinable
    init(_ words: RegionWords) {
        start = IOVA(words.start)
        count = words.count
        access = words.access
    }
}

extension Cargo where Self: ~Copyable {
    /// Region `index` as words that can be kept; nil where there is none of that number.
    public func range(at index: Int) -> MappedRange? {
        let region = region(at: index)
        return region.isNone ? nil : region.range
    }

    /// The ranges of all regions, as words that can be kept.
    public var ranges: [MappedRange] {
        var ranges: [MappedRange] = []
        for index in 0..<regionCount { ranges.append(region(at: index).range) }
        return ranges
    }
}
