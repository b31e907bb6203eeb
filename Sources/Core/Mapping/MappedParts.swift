// SPDX-License-Identifier: Apache-2.0

// Splits one mapped buffer into adjacent parts: each is a buffer of its own for channels and the CPU; the mapping ends with the
// last.

extension MappedBuffer {
    /// Splits the buffer: this one keeps the bytes before `offset`, the result has the others. It spreads one buffer over
    /// several channels.
    ///
    /// Each part keeps the mapping and bus addresses of the whole. Neither can be unmapped alone: ``join(_:)`` puts them
    /// together again. The memory of a part that ends, or is quarantined because its device did not stop, is freed only when
    /// the other parts have ended too.
    ///
    /// - Parameter offset: bytes into this buffer. A multiple of the device's alignment, and of the cache line where the device
    ///   does not snoop the CPU's caches (rule 36).
    /// - Throws: `outOfRange`, `misaligned`, `sharedCacheLine`; `quarantined`. The buffer is unchanged then.
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

    /// Joins an adjacent part: this buffer then has the bytes of both, and `part` is nil. Once all parts are joined, it can be
    /// unmapped.
    ///
    /// - Parameter part: begins where this buffer ends, or ends where it begins.
    /// - Throws: `foreignPart` where they are not neighbours of one mapping; `quarantined`. Both are unchanged then.
    public mutating func join(_ part: inout MappedBuffer?) throws(DMAError) {
        guard let range = try joined(with: part) else { return }
        let own = consume self
        let whole = own.intoWhole()
        part = nil
        self = MappedBuffer(whole.part(range))
    }

    /// The bytes of both; nil where there is no other part.
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
