// SPDX-License-Identifier: Apache-2.0
public import CDMA

/// Memory that CPU and device access at the same time, for descriptor rings and status words: `dma_alloc_coherent`.
///
/// There is no ownership to sync, so that only whole words can be read or written, each by one access that the compiler neither
/// merges nor drops. Coherent does not mean ordered: a barrier, or a release store, must stand between an entry and the word
/// that makes it valid (rule 37).
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe @frozen
public struct CoherentBuffer: ~Copyable, Cargo {
    @usableFromInline let base: UnsafeMutableRawPointer
    /// Bytes.
    public let count: Int
    /// Bus address of the first byte.
    public let iova: IOVA
    @usableFromInline let mapping: Mapping

    /// Allocates zeroed memory and maps it for `domain`, in both directions.
    ///
    /// - Parameters:
    ///   - count: bytes, at least 1.
    ///   - alignment: of the first byte, for the CPU and the device. Bytes, a power of two.
    ///   - domain: of the device; its coherent mask applies (rule 30).
    ///   - backing: the source of the memory; nil for the one that the address space needs: a file, where its backend passes
    ///     memory to a peer.
    ///   - file: for reports.
    ///   - line: for reports.
    /// - Throws: as ``Buffer/init(count:alignment:backing:policy:)``; `notCoherent` for a device that does not snoop the CPU's
    ///   caches; `unreachableAddress`, `noAddressSpace`, `mappingTooLarge`, `domainClosed`, or the backend's error. Coherent
    ///   memory is never bounced.
    public init(
        count: Int, alignment: Int = 4096, domain: Domain, backing: Backing? = nil,
        file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) {
        // SAFETY: `mapping` keeps the memory, and this value owns `mapping` for as long as it has the pointer.
        var policy = AllocationPolicy()
        if !domain.core.isTranslated { policy.below = domain.constraints.coherentMask }
        let memory = try Memory(
            count: count, alignment: alignment, backing: backing ?? domain.core.defaultBacking, policy: policy)
        let record = unsafe try domain.core.establish(
            .coherent, retaining: memory, .bidirectional, Origin(file: file, line: line))
        let mapping = unsafe Mapping(record)
        unsafe base = memory.base
        self.count = count
        iova = IOVA(mapping.start)
        self.mapping = mapping
    }

    public var regionCount: Int { mapping.regionCount }

    @_lifetime(borrow self)
    public func region(at index: Int) -> Region { mapping.region(at: index) }

    /// As ``MappedBuffer/quarantine()``: for a driver that ends its rings without having stopped the device.
    public mutating func quarantine() { mapping.quarantine() }

    /// CPU address of the first byte, for drivers that keep rings here. It must not be used after this value has ended.
    // SAFETY: the pointer is valid as long as this value; the caller does not use it beyond.
    @unsafe @inlinable
    public var unsafeBase: UnsafeMutableRawPointer { unsafe base }

    /// The address of a word, checked to lie inside the buffer and to be aligned to its width.
    @unsafe @inlinable
    func word<T: SharedWord>(_ offset: Int, _ type: T.Type) throws(DMAError) -> UnsafeMutableRawPointer {
        // SAFETY: the whole word was checked to lie inside the buffer: `count` is at least 1, so that the subtraction cannot
        // overflow.
        let width = MemoryLayout<T>.size
        guard offset >= 0, offset <= count &- width else {
            throw DMAError(.outOfRange, asked: UInt64(UInt(bitPattern: offset)), limit: UInt64(count))
        }
        guard offset & (width &- 1) == 0 else {
            throw DMAError(.misaligned, asked: UInt64(offset), limit: UInt64(width))
        }
        return unsafe base + offset
    }

    /// Reads one word with one access, without ordering.
    ///
    /// - Parameters:
    ///   - offset: bytes, a multiple of the word's width.
    ///   - type: the word's type, which sets its width.
    /// - Throws: `outOfRange`, `misaligned`.
    @inlinable
    public borrowing func load<T: SharedWord>(at offset: Int, as type: T.Type) throws(DMAError) -> T {
        // SAFETY: `word` has checked that the address lies in the buffer, which `self` keeps, and is aligned.
        unsafe T.volatileLoad(try word(offset, type))
    }

    /// Writes one word with one access, without ordering. Parameters and errors as for ``load(at:as:)``.
    @inlinable
    public borrowing func store<T: SharedWord>(_ value: T, at offset: Int) throws(DMAError) {
        // SAFETY: as for `load`. The device and other threads may access the word at the same time: each side does so by one access
        // of its width.
        unsafe T.volatileStore(value, try word(offset, T.self))
    }

    /// Reads one word with acquire ordering: later accesses of this thread stay after it. For the word that marks an entry as
    /// valid.
    @inlinable
    public borrowing func loadAcquire<T: SharedWord>(at offset: Int, as type: T.Type) throws(DMAError) -> T {
        // SAFETY: as for `load`.
        let value = unsafe T.volatileLoad(try word(offset, type))
        Self.readBarrier()
        return value
    }

    /// Writes one word with release ordering, after every earlier access of this thread. For the word that marks an entry as
    /// valid.
    @inlinable
    public borrowing func storeRelease<T: SharedWord>(_ value: T, at offset: Int) throws(DMAError) {
        // SAFETY: as for `load`.
        let word = unsafe try word(offset, T.self)
        cdma_release_barrier()
        unsafe T.volatileStore(value, word)
    }

    /// `dma_wmb()`: the device sees writes before it ahead of those after it. Belongs between filling a descriptor and setting
    /// its valid bit.
    @inlinable
    public static func writeBarrier() { cdma_write_barrier() }

    /// `dma_rmb()`: reads before it happen before those after it. Belongs between reading an entry's valid bit and reading the
    /// rest of it.
    @inlinable
    public static func readBarrier() { cdma_read_barrier() }
}

// SAFETY: the pointer leads into memory that `mapping` keeps alive, and only this value owns that.
extension CoherentBuffer: @unchecked Sendable {}
