// SPDX-License-Identifier: Apache-2.0

// One mapped buffer as several, side by side: each is a buffer of its own to channels and to the CPU; the mapping ends with the last.

extension MappedBuffer {
    /// Cuts the buffer in two: this one keeps the bytes before `offset`, the result has the others. So one buffer is spread over channels.
    ///
    /// Each part is mapped as the whole was, at the same bus addresses. Neither can be unmapped alone: ``join(_:)`` puts them together again.
    /// A part that ends, or that is parked because its device did not stop, gives nothing back before the other parts have ended too.
    ///
    /// - Parameter offset: bytes into this buffer, inside it. A multiple of the device's alignment, and of the cache line where the device
    ///   does not see the CPU's caches (rule 36).
    /// - Throws: `outOfRange`, `misaligned`, `sharedCacheLine`; `quarantined`. The buffer is then what it was.
    public mutating func split(at offset: Int) throws(DMAError) -> MappedBuffer {
        try mapping.checkExclusive()
        let count = self.count
        guard offset > 0, offset < count else {
            throw DMAError(.outOfRange, asked: UInt64(clamping: offset), limit: UInt64(clamping: count - 1))
        }
        let constraints = domain.constraints
        let start = mapping.core.entries[0].deviceAddress
        let cut = start &+ UInt64(offset)
        guard cut & (constraints.alignment - 1) == 0 else {
            throw DMAError(.misaligned, asked: cut, limit: constraints.alignment)
        }
        guard constraints.isCoherent || cut & (constraints.cacheLineSize - 1) == 0 else {
            throw DMAError(.sharedCacheLine, asked: cut, limit: constraints.cacheLineSize)
        }
        let rest = mapping.part(offset..<count)
        self = MappedBuffer(mapping.part(0..<offset))
        return MappedBuffer(rest)
    }

    /// Puts a neighbour back: this buffer has the bytes of both then, and `part` is nil. Once all parts are one again, it can be unmapped.
    ///
    /// - Parameter part: begins where this buffer ends, or ends where it begins.
    /// - Throws: `foreignPart` where they are not neighbours of one mapping; `quarantined`. Both are then what they were.
    public mutating func join(_ part: inout MappedBuffer?) throws(DMAError) {
        guard let other = part?.mapping else { return }
        try mapping.checkExclusive()
        try other.checkExclusive()
        guard let whole = mapping.whole, other.whole === whole else { throw DMAError(.foreignPart) }
        let own = mapping.range
        let its = other.range
        guard own.upperBound == its.lowerBound || its.upperBound == own.lowerBound else { throw DMAError(.foreignPart) }
        let lower = min(own.lowerBound, its.lowerBound)
        let upper = max(own.upperBound, its.upperBound)
        let first = whole.range.lowerBound
        self = MappedBuffer(whole.part(lower - first..<upper - first))
        part = nil
    }
}

extension Mapping {
    /// Bytes of the client's memory. Of a mapping with one entry.
    var range: Range<Int> {
        let entry = core.entries[0]
        return entry.offset..<entry.offset + entry.count
    }

    /// A part as a mapping of its own, which keeps the whole alive.
    ///
    /// - Parameter range: bytes of this mapping's one entry, not empty.
    func part(_ range: Range<Int>) -> Mapping {
        var core = core
        let entry = core.entries[0]
        core.entries[0] = MappedEntry(
            memory: entry.memory, offset: entry.offset + range.lowerBound, count: range.count, bounce: entry.bounce,
            bounceOffset: entry.bounceOffset + range.lowerBound)
        // What was announced, and what was taken from the allocator, are the whole's to give back.
        core.translations = []
        core.allocations = []
        core.regions = []
        var before: UInt64 = 0
        for region in self.core.regions {
            let low = max(UInt64(range.lowerBound), before)
            let high = min(UInt64(range.upperBound), before &+ region.count)
            if low < high {
                core.regions.append(RegionWords(start: region.start &+ (low - before), count: high - low, key: region.key))
            }
            before &+= region.count
        }
        return Mapping(core, in: domain, partOf: whole ?? self)
    }
}
