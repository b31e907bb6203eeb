// SPDX-License-Identifier: Apache-2.0

public import CDMA

/// The kernels that an engine uses: a path for each kind of work, and the lengths from which streaming stores are faster. A
/// trivial value.
///
/// The pointers passed to its functions must reach the stated number of bytes, and ranges must not overlap except where a
/// function permits it; nothing is checked here. All functions may run on any number of threads at once.
@frozen
public struct Kernels: Sendable, Equatable {
    /// The path of large copies.
    public var stream: KernelPath
    /// The path of fills that the C library's memset does not support.
    public var fill: KernelPath
    /// The code for XOR and its validation.
    public var xor: KernelPath
    /// The code for P and Q and their validation.
    public var pq: KernelPath
    /// The code for CRC32C.
    public var crc32c: KernelPath
    /// Copies of this many bytes and more bypass the cache. Bytes.
    public var streamThreshold: Int

    /// The range of lengths from ``cachedStart`` on that 512-bit vectors copy; 0 on a processor without them. On
    /// such a processor, and from 16 KiB on everywhere, memcpy is as fast or faster.
    @inlinable
    var cachedLengths: Int { stream == .avx512 ? 16 << 10 &- Kernels.cachedStart : 0 }

    /// The shortest copy of that range. Bytes.
    @inlinable
    static var cachedStart: Int { 512 }

    /// Paths selected by name, for tests and comparisons. A path that this processor or build lacks is replaced by the portable
    /// one, and the properties name the actual one.
    public init(
        stream: KernelPath, fill: KernelPath, xor: KernelPath, pq: KernelPath, crc32c: KernelPath, streamThreshold: Int
    ) {
        func present(_ path: KernelPath, for work: KernelWork) -> KernelPath { work.paths.contains(path) ? path : .portable }
        self.stream = present(stream, for: .stream)
        self.fill = present(fill, for: .fill)
        self.xor = present(xor, for: .xor)
        self.pq = present(pq, for: .pq)
        self.crc32c = present(crc32c, for: .crc32c)
        self.streamThreshold = max(streamThreshold, 0)
    }

    /// The best paths of this processor, with the measured threshold. The first use in a process takes up to 50 ms.
    public static let best: Kernels = {
        var kernels = bestPaths
        kernels.streamThreshold = StreamThreshold.measured(kernels.stream)
        return kernels
    }()

    private static var bestPaths: Kernels {
        Kernels(
            stream: KernelWork.stream.paths[0], fill: KernelWork.fill.paths[0], xor: KernelWork.xor.paths[0],
            pq: KernelWork.pq.paths[0], crc32c: KernelWork.crc32c.paths[0], streamThreshold: StreamThreshold.fallback)
    }

    /// The paths that run on any processor.
    public static let portable = Kernels(
        stream: .portable, fill: .portable, xor: .portable, pq: .portable, crc32c: .portable,
        streamThreshold: StreamThreshold.fallback)

    /// Fills from this length on bypass the cache: a copy uses twice the memory, and memset, which reads nothing, stays faster
    /// for longer.
    @inlinable
    var fillStreamThreshold: Int { streamThreshold > .max / 8 ? .max : streamThreshold &* 8 }

    /// Copies between ranges that do not overlap.
    @unsafe @inlinable @inline(__always)
    public func copy(to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int) {
        // SAFETY: this type's contract: the pointers reach `count` bytes and the ranges do not overlap. The same holds for all
        // kernels below.
        if count < streamThreshold {
            unsafe copyCached(to: to, from: from, count: count)
        } else {
            unsafe copyStreaming(to: to, from: from, count: count)
        }
    }

    /// Copies through the cache, whatever the length.
    @unsafe @inlinable @inline(__always)
    func copyCached(to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int) {
        // SAFETY: as above.
        if UInt(bitPattern: count &- Kernels.cachedStart) < UInt(bitPattern: cachedLengths) {
            unsafe cdma_copy_cached(to, from, count)
        } else {
            unsafe cdma_copy(to, from, count)
        }
    }

    /// Copies with streaming stores, whatever the length.
    @unsafe
    public func copyStreaming(to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int) {
        // SAFETY: as above; a width is that of a path which this processor supports, since the initializer replaces others.
        unsafe cdma_copy_stream(stream.width, to, from, count)
    }

    /// Copies rows: `rows` times `count` bytes, whose starts are `toStride` and `fromStride` bytes apart. A stride of 0 stays
    /// at one row.
    @unsafe
    public func copyRows(
        to: UnsafeMutableRawPointer, toStride: Int, from: UnsafeRawPointer, fromStride: Int, count: Int, rows: Int
    ) {
        // SAFETY: the caller vouches for all rows, at these strides.
        for row in 0..<max(rows, 0) {
            unsafe copy(to: to + row &* toStride, from: from + row &* fromStride, count: count)
        }
    }

    /// Fills with a pattern of eight bytes: byte i becomes byte (i mod 8) of `pattern` as it lies in memory. Patterns of 1, 2
    /// and 4 bytes repeat in it.
    @unsafe @inlinable
    public func fill(_ to: UnsafeMutableRawPointer, pattern: UInt64, count: Int) {
        // SAFETY: as for `copy`.
        let byte = UInt8(truncatingIfNeeded: pattern)
        if count < fillStreamThreshold, pattern == UInt64(byte) &* 0x0101_0101_0101_0101 {
            unsafe cdma_set(to, byte, count)
        } else {
            unsafe fillPattern(to, pattern: pattern, count: count)
        }
    }

    @unsafe @usableFromInline
    func fillPattern(_ to: UnsafeMutableRawPointer, pattern: UInt64, count: Int) {
        // SAFETY: as for `copy`.
        unsafe cdma_fill(fill.width, count >= fillStreamThreshold, to, pattern, count)
    }

    // Pieces of a larger transaction, or of a queue, bypass the cache where all of it together would not fit, whatever their
    // own length; `whole` is that total. Short ones never do: each would need a barrier at its end.

    private static var shortest: Int { 4096 }

    @unsafe
    func copyPart(to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int, of whole: Int) {
        // SAFETY: as for `copy`.
        if whole >= streamThreshold, count >= Kernels.shortest {
            unsafe copyStreaming(to: to, from: from, count: count)
        } else {
            unsafe copyCached(to: to, from: from, count: count)
        }
    }

    @unsafe
    func fillPart(_ to: UnsafeMutableRawPointer, pattern: UInt64, count: Int, of whole: Int) {
        // SAFETY: as for `copy`.
        if whole >= fillStreamThreshold, count >= Kernels.shortest {
            unsafe cdma_fill(fill.width, true, to, pattern, count)
        } else {
            unsafe fill(to, pattern: pattern, count: count)
        }
    }

    /// Continues a CRC32C over `count` bytes. `crc` is the standard CRC of the preceding data, 0 at the start, and so is the
    /// result: over "123456789" it is 0xe3069283 (RFC 3720, 12.1).
    @unsafe
    public func crc32c(_ from: UnsafeRawPointer, count: Int, continuing crc: UInt32 = 0) -> UInt32 {
        // SAFETY: as for `copy`; the tables are made before they are read, and never freed.
        #if ISAL
            if crc32c == .isal { return unsafe ~ISALKernels.crc32c(from, count: count, register: ~crc) }
        #endif
        let how =
            switch crc32c {
            case .folding: UInt32(CDMA_CRC_FOLDING)
            case .instruction: UInt32(CDMA_CRC_INSTRUCTION)
            default: UInt32(CDMA_CRC_TABLES)
            }
        return unsafe ~cdma_crc32c(how, CRCTable.words, ~crc, from, count)
    }

    /// Copies, and continues a CRC32C over the copied bytes. Each piece is still in the first-level cache when it is copied.
    @unsafe
    public func copyCRC32C(
        to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int, continuing crc: UInt32 = 0
    ) -> UInt32 {
        // SAFETY: as for `copy`.
        unsafe copyCRC32CPart(to: to, from: from, count: count, of: count, continuing: crc)
    }

    @unsafe
    func copyCRC32CPart(
        to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int, of whole: Int, continuing crc: UInt32
    ) -> UInt32 {
        // SAFETY: as for `copy`: each piece lies in `count`.
        let piece = 16 << 10
        var crc = crc
        var at = 0
        while at < count {
            let length = min(piece, count - at)
            crc = unsafe crc32c(from + at, count: length, continuing: crc)
            unsafe copyPart(to: to + at, from: from + at, count: length, of: whole)
            at += length
        }
        return crc
    }
}

extension Kernels: CustomStringConvertible {
    /// One line for lists: the path of each kind of work.
    public var description: String { text("from \(streamThreshold >> 10) KiB") }

    /// The same for ``best``, without its measurement.
    static var unmeasured: String { bestPaths.text("where that is faster") }

    private func text(_ streams: String) -> String {
        "copy \(cachedLengths > 0 ? "avx512 up to 16 KiB, " : "")libc, \(stream.name) \(streams); fill \(fill.name); xor \(xor.name); "
            + "pq \(pq.name); crc32c \(crc32c.name)"
    }
}

/// The tables of CRC32C, made once and never freed.
enum CRCTable {
    nonisolated(unsafe) static let words: UnsafePointer<UInt32> = {
        // SAFETY: 16 KiB that live as long as the process; a static is initialized once, before the first read, and only read
        // afterwards. 16 KiB that live as long as the process; initialised here and only read afterwards.
        let words = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(CDMA_CRC_TABLE_WORDS))
        unsafe cdma_crc32c_prepare(words)
        return unsafe UnsafePointer(words)
    }()
}
