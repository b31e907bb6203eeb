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
        let cut = mapping.firstEntry.deviceAddress &+ UInt64(offset)
        guard cut & (constraints.alignment - 1) == 0 else {
            throw DMAError(.misaligned, asked: cut, limit: constraints.alignment)
        }
        guard constraints.isCoherent || cut & (constraints.cacheLineSize - 1) == 0 else {
            throw DMAError(.sharedCacheLine, asked: cut, limit: constraints.cacheLineSize)
        }
        let range = mapping.byteRange
        let own = consume self
        let whole = own.intoWhole()
        let middle = range.lowerBound + offset
        self = MappedBuffer(whole.part(range.lowerBound..<middle))
        return MappedBuffer(whole.part(middle..<range.upperBound))
    }

    /// Puts a neighbour back: this buffer has the bytes of both then, and `part` is nil. Once all parts are one again, it can be unmapped.
    ///
    /// - Parameter part: begins where this buffer ends, or ends where it begins.
    /// - Throws: `foreignPart` where they are not neighbours of one mapping; `quarantined`. Both are then what they were.
    public mutating func join(_ part: inout MappedBuffer?) throws(DMAError) {
        guard let range = try joined(with: part) else { return }
        let own = consume self
        let whole = own.intoWhole()
        part = nil
        self = MappedBuffer(whole.part(range))
    }

    /// The bytes of both; nil where there is no other.
    private func joined(with part: borrowing MappedBuffer?) throws(DMAError) -> Range<Int>? {
        switch part {
        case nil: return nil
        case let other?:
            try mapping.checkExclusive()
            try other.mapping.checkExclusive()
            guard mapping.isPart(with: other.mapping) else { throw DMAError(.foreignPart) }
            let (own, its) = (mapping.byteRange, other.mapping.byteRange)
            guard own.upperBound == its.lowerBound || its.upperBound == own.lowerBound else { throw DMAError(.foreignPart) }
            return min(own.lowerBound, its.lowerBound)..<max(own.upperBound, its.upperBound)
        }
    }

    private consuming func intoWhole() -> WholeMapping { mapping.intoWhole() }
}
