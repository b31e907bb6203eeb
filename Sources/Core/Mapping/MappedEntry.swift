// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// The source location of a client's call, for reports.
struct Origin: Sendable {
    let file: StaticString
    let line: UInt
}

/// The kind of a mapping; it ends as the same kind (rule 33).
enum MappingKind: UInt8, Sendable {
    case single, list, coherent

    /// For reports.
    var name: StaticString {
        switch self {
        case .single: "single"
        case .list: "list"
        case .coherent: "coherent"
        }
    }
}

/// One range of the client's memory in a mapping: the original, which unmap and sync refer to (rule 32). Words: it keeps
/// nothing alive.
struct MappedEntry: Sendable {
    /// The client's bytes as a CPU address; 0 where the CPU cannot reach them.
    var cpuAddress: UInt64
    /// Bytes, at least 1.
    var count: Int
    /// The memory that the device works on, as a CPU address: the same, or a bounce buffer.
    var deviceAddress: UInt64
    /// The dma-buf whose exporter is informed of the CPU's accesses, or -1.
    var buffer: Int32 = -1

    var isBounced: Bool { deviceAddress != cpuAddress }

    /// The side that a sync prepares the memory for.
    enum Turn { case cpu, device }

    /// Copies between an entry and its bounce memory, and maintains caches: the meaning of "sync" (rules 35, 36 and 39).
    ///
    /// - Parameter range: into the entry; checked by the caller, who also keeps the memory.
    /// - Returns: bytes copied.
    @unsafe
    func sync(for turn: Turn, _ range: Range<Int>, _ direction: Direction, _ constraints: DeviceConstraints) -> UInt64 {
        // SAFETY: the range lies inside the entry, whose memory and bounce memory the caller's mapping owns; both have the same
        // length and do not overlap. The kernel accepts any flush.
        guard cpuAddress != 0 else { return 0 }
        let offset = UInt64(range.lowerBound)
        let client = unsafe UnsafeMutableRawPointer(bitPattern: UInt(cpuAddress &+ offset))
        let standIn = unsafe UnsafeMutableRawPointer(bitPattern: UInt(deviceAddress &+ offset))
        guard let client = unsafe client, let standIn = unsafe standIn else { return 0 }
        let line = Int(constraints.cacheLineSize)
        switch turn {
        case .cpu:
            if !constraints.isCoherent { _ = unsafe cdma_cache_flush(standIn, range.count, line) }
            guard direction != .toDevice, isBounced else { return 0 }
            unsafe client.copyMemory(from: standIn, byteCount: range.count)
        case .device:
            // In every direction: a device that writes less than the whole range must not expose the previous contents of the
            // bounce memory (as in the kernel since 5.18, kernel/dma/swiotlb.c, swiotlb_tbl_map_single).
            if isBounced { unsafe standIn.copyMemory(from: client, byteCount: range.count) }
            if !constraints.isCoherent { _ = unsafe cdma_cache_flush(standIn, range.count, line) }
            guard isBounced else { return 0 }
        }
        return UInt64(range.count)
    }

    /// Brackets the CPU's access to a dma-buf, whose exporter may have caches to maintain. Does nothing for other memory.
    func bracketAccess(begins: Bool) {
        if buffer < 0 { return }
        let flags = UInt64(CDMA_DMA_BUF_READ | CDMA_DMA_BUF_WRITE | (begins ? 0 : CDMA_DMA_BUF_END))
        _ = cdma_dma_buf_sync(buffer, flags)
    }
}

/// A mapping's view of one allocation, in words: its address, the range around it that belongs to it alone, and its file. With
/// its padding it fills a cache line, so that an entry of a list finds its memory's words by a shift.
struct MemoryWords: Sendable {
    let base: UInt64
    /// Bytes of the client.
    let count: Int
    let extentStart: UInt64
    let extentEnd: UInt64
    /// The kind of the source, and its memfd or dma-buf, in the encoding of ``MappingSource``.
    private let sourceWord: UInt64
    /// All ones where offsets into a file count, else 0.
    private let fileMask: UInt64
    /// Ranges of memories with the same key may form one range for a device: 0 for memory without a file, otherwise the base,
    /// where only the one file is mapped.
    let mergeKey: UInt64
    private let alignmentShift: UInt8
    let isImported: Bool

    /// Alignment of `base`, as promised to the client: a power of two. Bytes.
    var alignment: Int { 1 << Int(alignmentShift) }

    /// memfd or dma-buf, or -1.
    var descriptor: Int32 { Int32(truncatingIfNeeded: sourceWord >> 32) }

    /// The words that the memory has computed already.
    @inline(__always)
    init(_ memory: Memory) { self = memory.words }

    init(
        base: UInt64, count: Int, alignment: Int, extentStart: UInt64, extentCount: UInt64, descriptor: Int32, backing: Backing
    ) {
        (self.base, self.count) = (base, count)
        alignmentShift = UInt8(truncatingIfNeeded: max(alignment, 1).trailingZeroBitCount)
        self.extentStart = extentStart
        extentEnd = extentStart &+ extentCount
        isImported = backing == .imported
        var kind = MappingSource.Kind.memory
        if descriptor >= 0 {
            if case .heap = backing { kind = .dmaBuffer } else { kind = .file }
        }
        sourceWord = MappingSource.word(kind, descriptor)
        fileMask = descriptor < 0 ? 0 : .max
        mergeKey = descriptor < 0 ? 0 : base
    }

    /// The dma-buf whose exporter is informed of the CPU's accesses, or -1.
    var buffer: Int32 {
        UInt8(truncatingIfNeeded: sourceWord) == MappingSource.Kind.dmaBuffer.rawValue ? descriptor : -1
    }

    /// Whether the range lies inside the memory that belongs to this allocation alone.
    @inline(__always)
    func owns(_ start: UInt64, _ end: UInt64) -> Bool { start >= extentStart && end <= extentEnd && start <= end }

    /// The source of the bytes at `address`, which lies in the extent.
    @inline(__always)
    func source(at address: UInt64) -> MappingSource {
        MappingSource(word: sourceWord, address: address, offset: (address &- extentStart) & fileMask)
    }
}

/// Bus addresses mapped by one call of the backend's `map`, with the access of the mapping's direction.
struct TranslatedRun: Sendable {
    var iova: UInt64
    var count: UInt64
    var source: MappingSource
}
