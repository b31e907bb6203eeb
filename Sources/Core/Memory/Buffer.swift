// SPDX-License-Identifier: Apache-2.0

/// Memory that the CPU owns: its bytes can be read and written, and no device can access it.
///
/// To let a device access it, map it (``map(for:direction:file:line:)``): that consumes the buffer, so that the CPU cannot
/// touch the bytes by accident meanwhile; unmapping returns it. When a buffer ends, its memory is freed.
///
/// Each buffer takes whole pages. For many small pieces map one buffer and lease blocks of it: ``Pool``.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe
public struct Buffer: ~Copyable, Sendable {
    /// Owned: released once, by `deinit` or by the code that takes it.
    private let owned: Unmanaged<Memory>

    // SAFETY: the object is held until `deinit`.
    init(_ memory: Memory) { unsafe owned = Unmanaged.passRetained(memory) }

    /// The caller transfers its share of the memory.
    // SAFETY: the caller owns the share that it transfers.
    @unsafe
    init(owning owned: Unmanaged<Memory>) { unsafe self.owned = owned }

    // SAFETY: this value owned the memory, and ends once.
    deinit { unsafe owned.release() }

    /// Transfers this value's share of the memory to the caller.
    @unsafe @inline(__always)
    consuming func take() -> Unmanaged<Memory> {
        // SAFETY: `deinit` does not run.
        let owned = unsafe owned
        discard self
        return unsafe owned
    }

    // SAFETY: this value holds the object.
    var memory: Memory { unsafe owned.takeUnretainedValue() }

    /// Allocates `count` bytes of zeroed memory.
    ///
    /// - Parameters:
    ///   - count: bytes, at least 1.
    ///   - alignment: of the first byte's CPU address. Bytes, a power of two up to 2^40. Pages are aligned to their size in
    ///     any case.
    ///   - backing: where the memory comes from.
    ///   - policy: a highest address, locking, prefaulting, and whether fallbacks are acceptable.
    /// - Throws: `zeroLength`, `badAlignment`, `sizeOverflow`, `outOfMemory`, `hugePagesUnavailable`, `memoryLocked`
    ///   (with the arithmetic of RLIMIT_MEMLOCK), `noSuchHeap`, `noAddressSpace` (no room below `policy.below`),
    ///   `unsupportedBacking`.
    public init(
        count: Int, alignment: Int = 64, backing: Backing = .pages(transparentHuge: false),
        policy: AllocationPolicy = AllocationPolicy()
    ) throws(DMAError) {
        self.init(try Memory(count: count, alignment: alignment, backing: backing, policy: policy))
    }

    /// Allocates memory that the device of `domain` reaches in place: below its mask, aligned for it, and with a file where its
    /// address space passes memory to a peer.
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

    /// Allocates memory and copies `bytes` into it.
    ///
    /// - Parameter bytes: at least one.
    /// - Throws: as ``init(count:alignment:backing:policy:)``.
    public init(copying bytes: some Collection<UInt8>) throws(DMAError) {
        try self.init(count: bytes.count)
        let count = self.count
        var span = mutableBytes
        // SAFETY: the span has `count` bytes; the collection's own count is not relied on.
        unsafe span.withUnsafeMutableBytes { target in
            let isCopied: Void? = bytes.withContiguousStorageIfAvailable { source in
                unsafe target.copyBytes(from: source.prefix(count))
            }
            if isCopied == nil { for (offset, byte) in zip(0..<count, bytes) { unsafe target[offset] = byte } }
        }
    }

    /// Takes ownership of memory that was allocated elsewhere.
    ///
    /// - Parameters:
    ///   - bytes: at least 1 byte. The caller guarantees that they stay valid, and that no other code accesses them, until
    ///     `onRelease` is called. Anything that shares a page or a cache line with them is foreign data: such edges are
    ///     bounced where a device could access or corrupt them.
    ///   - onRelease: called exactly once, on the thread that ends the last owner, when neither CPU nor device can reach the
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
    /// The requested alignment. Bytes.
    public var alignment: Int { memory.alignment }
    /// The actual source of the memory.
    public var backing: Backing { memory.backing }
    /// Whether the pages are locked in memory.
    public var isLocked: Bool { memory.isLocked }
    /// The page size of the memory. Bytes; for transparent huge pages the base size, because the kernel promises no more.
    public var pageSize: Int { memory.pageSize }

    /// The bytes, for reading.
    public var bytes: RawSpan {
        // SAFETY: the memory lives as long as `self`, which owns it, and has that many bytes; it is not written while `self` is
        // borrowed.
        @_lifetime(borrow self)
        borrowing get {
            let (start, count) = unsafe owned._withUnsafeGuaranteedRef { unsafe ($0.base, $0.count) }
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: count)
            // The memory lives as long as `self`, and is not written while `self` is borrowed.
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The bytes, for reading and writing.
    public var mutableBytes: MutableRawSpan {
        // SAFETY: as for `bytes`; exclusive access to `self` is exclusive access to its memory.
        @_lifetime(&self)
        mutating get {
            let (start, count) = unsafe owned._withUnsafeGuaranteedRef { unsafe ($0.base, $0.count) }
            let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: count)
            // As for `bytes`; exclusive access to `self` is exclusive access to its memory.
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// Reads the bytes inside `body`. The same as ``bytes``, for clients that do not enable the Lifetimes feature.
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

    /// Lends the bytes as a pointer, for calls into C. It must not leave `body`.
    @unsafe
    public mutating func withUnsafeMutableBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        // SAFETY: the memory is valid as long as `self`, which is borrowed for `body`. The caller keeps the pointer inside it.
        try unsafe body(UnsafeMutableRawBufferPointer(start: memory.base, count: memory.count))
    }

    /// Lends the file behind the memory (memfd or dma-buf), to be sent to another process or passed to the kernel. It is closed
    /// with the buffer: duplicate it to keep it.
    ///
    /// - Returns: nil where the memory has no file; `body` is not called then.
    public borrowing func withFileDescriptor<R, E: Error>(_ body: (Int32) throws(E) -> R) throws(E) -> R? {
        memory.fileDescriptor < 0 ? nil : try body(memory.fileDescriptor)
    }
}
