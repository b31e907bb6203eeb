// SPDX-License-Identifier: Apache-2.0

/// Memory that the CPU owns: its bytes can be read and written, and no device reaches it.
///
/// To let a device work on it, map it (``map(for:direction:file:line:)``): that consumes the buffer, so that the bytes cannot
/// be touched by accident meanwhile, and unmapping gives it back. When a buffer ends, its memory is given back to the kernel.
///
/// Each buffer takes whole pages. For many small pieces map one buffer and lease blocks of it: ``Pool``.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe
public struct Buffer: ~Copyable, Sendable {
    /// Owned: released once, by `deinit` or by who takes it.
    private let owned: Unmanaged<Memory>

    // SAFETY: the object is held until `deinit`.
    init(_ memory: Memory) { unsafe owned = Unmanaged.passRetained(memory) }

    /// The caller hands over what it owns of the memory.
    // SAFETY: that it owns it is the caller's part.
    @unsafe
    init(owning owned: Unmanaged<Memory>) { unsafe self.owned = owned }

    // SAFETY: this value owned the memory, and ends once.
    deinit { unsafe owned.release() }

    /// What this value owns of the memory, which is the caller's afterwards.
    @unsafe @inline(__always)
    consuming func take() -> Unmanaged<Memory> {
        // SAFETY: `deinit` does not run.
        let owned = unsafe owned
        discard self
        return unsafe owned
    }

    // SAFETY: this value holds the object.
    var memory: Memory { unsafe owned.takeUnretainedValue() }

    /// Obtains `count` bytes of zeroed memory.
    ///
    /// - Parameters:
    ///   - count: bytes, at least 1.
    ///   - alignment: of the first byte as the CPU sees it. Bytes, a power of two up to 2^40. Pages are aligned to their size
    ///     anyway.
    ///   - backing: where the memory comes from.
    ///   - policy: reachability by narrow masks, locking, prefaulting, and whether less is acceptable.
    /// - Throws: `zeroLength`, `badAlignment`, `sizeOverflow`, `outOfMemory`, `hugePagesUnavailable`, `memoryLocked`
    ///   (with the arithmetic of RLIMIT_MEMLOCK), `noSuchHeap`, `noAddressSpace` (no room below `policy.below`),
    ///   `unsupportedBacking`.
    public init(
        count: Int, alignment: Int = 64, backing: Backing = .pages(transparentHuge: false),
        policy: AllocationPolicy = AllocationPolicy()
    ) throws(DMAError) {
        self.init(try Memory(count: count, alignment: alignment, backing: backing, policy: policy))
    }

    /// Obtains memory that a device reaches where it lies: below its mask, aligned for it, and with a file behind it where its address space
    /// hands one to a peer.
    ///
    /// - Parameters:
    ///   - count: bytes, at least 1.
    ///   - domain: of the device.
    /// - Throws: as ``init(count:alignment:backing:policy:)``.
    public init(count: Int, for domain: Domain) throws(DMAError) {
        let constraints = domain.constraints
        var policy = AllocationPolicy()
        if !domain.core.isTranslated { policy.below = constraints.streamingMask }
        let alignment = Int(clamping: max(constraints.alignment, constraints.isCoherent ? 64 : constraints.cacheLineSize))
        self.init(try Memory(count: count, alignment: max(alignment, 64), backing: domain.core.defaultBacking, policy: policy))
    }

    /// Obtains memory and copies `bytes` into it.
    ///
    /// - Parameter bytes: at least one.
    /// - Throws: as ``init(count:alignment:backing:policy:)``.
    public init(copying bytes: some Collection<UInt8>) throws(DMAError) {
        try self.init(count: bytes.count)
        let count = self.count
        var span = mutableBytes
        // SAFETY: the span has `count` bytes; what a collection says of its own number is not relied on.
        unsafe span.withUnsafeMutableBytes { target in
            let isCopied: Void? = bytes.withContiguousStorageIfAvailable { source in
                unsafe target.copyBytes(from: source.prefix(count))
            }
            if isCopied == nil { for (offset, byte) in zip(0..<count, bytes) { unsafe target[offset] = byte } }
        }
    }

    /// Takes over memory that somebody else allocated.
    ///
    /// - Parameters:
    ///   - bytes: at least 1 byte. The caller vouches that they stay valid, and that nobody else touches them, until
    ///     `onRelease` is called. Whatever shares a page or a cache line with them is foreign data: such edges are bounced
    ///     where a device could reach or damage them.
    ///   - onRelease: called exactly once, on whichever thread ends the last owner, when neither CPU nor device can reach the
    ///     bytes through this package any more.
    /// - Throws: `zeroLength`, `sizeOverflow`; then `onRelease` is not called.
    @unsafe
    public init(
        importing bytes: UnsafeMutableRawBufferPointer, onRelease: (@Sendable () -> Void)? = nil
    ) throws(DMAError) {
        // SAFETY: by the contract of this function the bytes stay valid until `onRelease` is called.
        self.init(unsafe try Memory(unsafeImporting: bytes, onRelease: onRelease))
    }

    /// Bytes.
    public var count: Int { memory.count }
    /// The alignment that was asked for. Bytes.
    public var alignment: Int { memory.alignment }
    /// The source that the memory really came from.
    public var backing: Backing { memory.backing }
    /// Whether the pages are locked in memory.
    public var isLocked: Bool { memory.isLocked }
    /// Bytes of each page below the buffer; for transparent huge pages the base size, because the kernel promises no more.
    public var pageSize: Int { memory.pageSize }

    /// The bytes, to read.
    public var bytes: RawSpan {
        // SAFETY: the memory lives as long as `self`, which owns it, and has as many bytes; nobody writes while `self` is borrowed.
        @_lifetime(borrow self)
        borrowing get {
            let (start, count) = unsafe owned._withUnsafeGuaranteedRef { unsafe ($0.base, $0.count) }
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: count)
            // The memory lives as long as `self`, and nobody writes while `self` is borrowed.
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The bytes, to read and write.
    public var mutableBytes: MutableRawSpan {
        // SAFETY: as for `bytes`; the exclusive access to `self` is the exclusive access to its memory.
        @_lifetime(&self)
        mutating get {
            let (start, count) = unsafe owned._withUnsafeGuaranteedRef { unsafe ($0.base, $0.count) }
            let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: count)
            // As for `bytes`; the exclusive access to `self` is the exclusive access to its memory.
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// Reads the bytes inside `body`. The same as ``bytes`` for clients that do without the Lifetimes feature.
    public borrowing func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try body(bytes)
    }

    /// Reads and writes the bytes inside `body`.
    public mutating func withMutableBytes<R: ~Copyable, E: Error>(
        _ body: (inout MutableRawSpan) throws(E) -> R
    ) throws(E) -> R {
        var span = mutableBytes
        return try body(&span)
    }

    /// The bytes as a pointer, for calls into C. It must not leave `body`.
    @unsafe
    public mutating func withUnsafeMutableBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        // SAFETY: the memory is valid as long as `self`, which is borrowed for `body`. That the pointer does not leave it is the
        // caller's part.
        try unsafe body(UnsafeMutableRawBufferPointer(start: memory.base, count: memory.count))
    }

    /// Lends the file behind the memory (memfd or dma-buf), to be sent to another process or given to the kernel. It is closed
    /// with the buffer: duplicate it to keep it.
    ///
    /// - Returns: nil where no file stands behind the memory; `body` is not called then.
    public borrowing func withFileDescriptor<R, E: Error>(_ body: (Int32) throws(E) -> R) throws(E) -> R? {
        memory.fileDescriptor < 0 ? nil : try body(memory.fileDescriptor)
    }
}
