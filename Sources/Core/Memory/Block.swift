// SPDX-License-Identifier: Apache-2.0

/// A block leased from a ``Pool``: 16 bytes that own a piece of mapped memory and give it back to the pool when they end.
///
/// Outside a transfer the CPU owns the block, and its bytes can be reached; during one, the channel owns it as a cargo.
///
/// Thread rules: not Sendable; it stays where its pool is.
@safe @frozen
public struct Block: ~Copyable, Cargo {
    /// The pool's; once the block is quarantined, a stand-in that permits nothing.
    @usableFromInline var header: UnsafeMutablePointer<PoolHeader>
    /// Into the pool's memory, in bytes.
    @usableFromInline let offset: Int

    @unsafe @inlinable
    init(header: UnsafeMutablePointer<PoolHeader>, offset: Int) {
        unsafe self.header = header
        self.offset = offset
    }

    @inlinable
    deinit {
        // The header lives as long as any block. The stack has room for every block, and this one was taken from it. A header whose
        // count is negative is not a living pool's.
        let free = unsafe header.pointee.free
        if free >= 0 {
            unsafe header.pointee.stack[free] = offset
            unsafe header.pointee.free = free &+ 1
        } else {
            unsafe PoolHeader.takeBack(header)
        }
    }

    @inlinable
    public var regionCount: Int { 1 }

    /// The block as its device sees it, for index 0. Once it is quarantined, a region that permits nothing.
    @inlinable
    public func region(at index: Int) -> Region {
        guard index == 0 else { return .none }
        // The pool's memory is mapped for as long as the header lives.
        return unsafe Region(
            unsafeStart: IOVA(header.pointee.start.rawValue &+ UInt64(bitPattern: Int64(offset))),
            count: header.pointee.blockSize, key: header.pointee.key)
    }

    /// The device could not be stopped: the block never returns to the pool, and the pool's whole memory is parked when the
    /// pool ends (rule 18).
    public mutating func quarantine() {
        guard unsafe header.pointee.original == nil else { return }
        unsafe header.pointee.mapping.quarantine()
        unsafe header = PoolHeader.standIn(for: header)
    }

    /// Bytes.
    @inlinable
    public var count: Int { unsafe Int(header.pointee.blockSize) }

    /// Reads the bytes inside `body`.
    ///
    /// - Throws: `quarantined`; what `body` throws.
    @inlinable
    public borrowing func withBytes<R: ~Copyable>(_ body: (RawSpan) throws(DMAError) -> R) throws(DMAError) -> R {
        try prepare(writes: false)
        let start = unsafe UnsafeRawPointer(header.pointee.base + offset)
        // The range is the block's own part of the pool's memory, which lives as long as the header.
        return try body(unsafe RawSpan(_unsafeStart: start, byteCount: count))
    }

    /// Reads and writes the bytes inside `body`.
    ///
    /// - Throws: `wrongDirection` for memory that only the device writes (rule 34), `quarantined`; what `body` throws.
    @inlinable
    public mutating func withMutableBytes<R: ~Copyable>(
        _ body: (inout MutableRawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        try prepare(writes: true)
        defer { finish() }
        var span = unsafe MutableRawSpan(_unsafeStart: header.pointee.base + offset, byteCount: count)
        return try body(&span)
    }

    /// The bytes as a pointer, for calls into C and for engines' tests. It must not leave `body`.
    ///
    /// - Throws: as ``withMutableBytes(_:)``.
    @unsafe @inlinable
    public mutating func withUnsafeMutableBytes<R: ~Copyable>(
        _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        try prepare(writes: true)
        defer { finish() }
        return try unsafe body(UnsafeMutableRawBufferPointer(start: header.pointee.base + offset, count: count))
    }

    @inlinable
    func prepare(writes: Bool) throws(DMAError) {
        if unsafe header.pointee.original != nil { throw unsafe DMAError(.quarantined, asked: header.pointee.start.rawValue) }
        if writes, unsafe header.pointee.key & UInt64(DeviceAccess.read.rawValue) == 0 { throw DMAError(.wrongDirection) }
        if unsafe !header.pointee.isCoherent { maintainCaches() }
    }

    @inlinable
    func finish() {
        if unsafe !header.pointee.isCoherent { maintainCaches() }
    }

    @usableFromInline
    func maintainCaches() {
        let mapping = unsafe header.pointee.mapping
        let entry = mapping.core.entries[0]
        entry.deviceMemory.flushCaches(
            entry.deviceOffset + offset, count, line: Int(mapping.domain.constraints.cacheLineSize))
    }
}
