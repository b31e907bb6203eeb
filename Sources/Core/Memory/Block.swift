// SPDX-License-Identifier: Apache-2.0

/// A block leased from a ``Pool``: 16 bytes that own a piece of mapped memory.
///
/// Return it with ``Pool/giveBack(_:)``, which needs no atomic operation; a block whose lifetime ends otherwise returns to its
/// pool with one. Outside a transfer the CPU owns the block and can access its bytes; during one, the channel owns it as cargo.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe @frozen
public struct Block: ~Copyable, Cargo {
    @usableFromInline let header: UnsafeMutablePointer<PoolHeader>
    @usableFromInline let place: BlockPlace

    // SAFETY: the caller has taken `place` off the stack of the living pool that `header` belongs to.
    @unsafe @inlinable
    init(header: UnsafeMutablePointer<PoolHeader>, place: BlockPlace) {
        unsafe self.header = header
        self.place = place
    }

    @inlinable
    deinit {
        // SAFETY: the header lives as long as any block, and this block ends once.
        unsafe place.goBack(to: header)
    }

    /// Ends the block without returning it: its pool has taken back its place.
    @inlinable @inline(__always)
    consuming func surrender() -> BlockPlace {
        let place = self.place
        discard self
        return place
    }

    /// The block's number in its pool: 0 ..< ``Pool/capacity``, in the order of addresses. No two leased blocks have the same.
    @inlinable public var index: Int { place.index }

    /// Segments of the block: 1, unless its pool was made with more.
    // SAFETY: the header lives as long as any block, and this word never changes.
    @inlinable public var regionCount: Int { unsafe header.pointee.segmentCount }

    /// Segment `index` of ``regionCount``, for the device.
    @inlinable
    @_lifetime(borrow self)
    public func region(at index: Int) -> Region {
        // SAFETY: the header lives as long as any block, and the pool's memory is mapped for as long. There is a first segment.
        guard index == 0 || UInt(bitPattern: index) < UInt(bitPattern: regionCount) else { return .none }
        let size = unsafe header.pointee.segmentSize
        return unsafe Region(
            words: RegionWords(
                start: header.pointee.start &+ UInt64(truncatingIfNeeded: place.offset) &+ UInt64(truncatingIfNeeded: index)
                    &* size, count: size,
                key: header.pointee.key))
    }

    /// The block's segments as one operand list, where there are several.
    @inlinable
    public var regionList: RegionList {
        // SAFETY: the header and the lists live as long as any block. There is a list of `segmentCount` segments for each index.
        @_lifetime(borrow self) get {
            switch unsafe header.pointee.lists {
            case nil: return .none
            case let lists?:
                return unsafe RegionList(
                    segments: lists.segments + place.index &* header.pointee.segmentCount, facts: lists.facts)
            }
        }
    }

    /// Bytes.
    // SAFETY: the header lives as long as a block is leased, and its size is never changed.
    @inlinable
    public var count: Int { unsafe Int(truncatingIfNeeded: header.pointee.blockSize) }

    /// Reads the bytes inside `body`.
    ///
    /// - Throws: errors of `body`.
    @inlinable
    public borrowing func withBytes<R: ~Copyable>(_ body: (RawSpan) throws(DMAError) -> R) throws(DMAError) -> R {
        prepare()
        // SAFETY: the range is the block's own part of the pool's memory, which lives as long as the header.
        let start = unsafe UnsafeRawPointer(header.pointee.base + place.offset)
        return try body(unsafe RawSpan(_unsafeStart: start, byteCount: count))
    }

    /// Reads and writes the bytes inside `body`.
    ///
    /// - Throws: `wrongDirection` for memory that only the device writes (rule 34); errors of `body`.
    @inlinable
    public mutating func withMutableBytes<R: ~Copyable>(
        _ body: (inout MutableRawSpan) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        try checkWritable()
        prepare()
        defer { prepare() }
        // SAFETY: as for `withBytes`; `self` is held exclusively, and with it the block's bytes.
        var span = unsafe MutableRawSpan(_unsafeStart: header.pointee.base + place.offset, byteCount: count)
        return try body(&span)
    }

    /// Lends the bytes as a pointer, for calls into C and for tests of engines. It must not leave `body`.
    ///
    /// - Throws: as `withMutableBytes(_:)`.
    @unsafe @inlinable
    public mutating func withUnsafeMutableBytes<R: ~Copyable>(
        _ body: (UnsafeMutableRawBufferPointer) throws(DMAError) -> R
    ) throws(DMAError) -> R {
        try checkWritable()
        prepare()
        defer { prepare() }
        // SAFETY: as for `withMutableBytes`; the caller guarantees that the pointer stays inside `body`.
        return try unsafe body(UnsafeMutableRawBufferPointer(start: header.pointee.base + place.offset, count: count))
    }

    @inlinable
    func checkWritable() throws(DMAError) {
        // SAFETY: the header lives as long as any block.
        if unsafe header.pointee.key & UInt64(DeviceAccess.read.rawValue) == 0 { throw DMAError(.wrongDirection) }
    }

    /// Maintains the caches before and after the CPU's access, for devices that are not coherent.
    @inlinable
    func prepare() {
        // SAFETY: the header lives as long as any block.
        if unsafe !header.pointee.isCoherent { maintainCaches() }
    }

    @usableFromInline
    func maintainCaches() {
        // SAFETY: the header lives as long as any block.
        unsafe header.pointee.mapping.core.flush(header.pointee.base + place.offset, count)
    }
}

extension Block {
    /// `withBytes(_:)` for a body that throws its own errors.
    @inlinable @_disfavoredOverload
    public borrowing func withBytes<R: ~Copyable>(_ body: (RawSpan) throws -> R) throws -> R {
        prepare()
        // SAFETY: as above.
        let start = unsafe UnsafeRawPointer(header.pointee.base + place.offset)
        return try body(unsafe RawSpan(_unsafeStart: start, byteCount: count))
    }

    /// `withMutableBytes(_:)` for a body that throws its own errors.
    @inlinable @_disfavoredOverload
    public mutating func withMutableBytes<R: ~Copyable>(_ body: (inout MutableRawSpan) throws -> R) throws -> R {
        try checkWritable()
        prepare()
        defer { prepare() }
        // SAFETY: as above.
        var span = unsafe MutableRawSpan(_unsafeStart: header.pointee.base + place.offset, byteCount: count)
        return try body(&span)
    }
}

// SAFETY: a block accesses its own bytes, which no other code has, and words of the header that are immutable or accessed by
// atomics.
extension Block: @unchecked Sendable {}

/// A block's place in its pool: its index and its byte offset in one word, so that leasing and returning move one word.
@usableFromInline @frozen
struct BlockPlace: Equatable, Sendable {
    /// The offset in the upper 40 bits, twice the index in the lower 24.
    @usableFromInline let word: UInt64

    @inlinable
    init(word: UInt64) { self.word = word }

    /// Nil where index or offset is out of range: 2²³ - 1 blocks, 1 TiB.
    init?(index: Int, offset: Int) {
        guard index >= 0, index < 1 << 23 - 1, offset >= 0, offset < 1 << 40 else { return nil }
        word = UInt64(offset) << 24 | UInt64(2 * index)
    }

    @inlinable var index: Int { doubleIndex / 2 }
    /// The position of the block's words after the pool's header.
    @inlinable var doubleIndex: Int { Int(truncatingIfNeeded: word & (1 << 24 - 1)) }
    @inlinable var offset: Int { Int(truncatingIfNeeded: word >> 24) }
}
