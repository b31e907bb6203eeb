// SPDX-License-Identifier: Apache-2.0

/// Parts of buffers, in the order for the device: the kernel's `struct scatterlist`, before mapping.
///
/// The list owns its buffers. While it is not mapped, the CPU owns their bytes.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
public struct ScatterList: ~Copyable, Sendable {
    /// A part of one buffer.
    public struct Entry: Hashable, Sendable {
        /// The buffer's number, in the order in which they were added.
        public let buffer: Int
        /// The offset of the part's first byte.
        public let offset: Int
        /// Bytes, at least 1.
        public let count: Int
    }

    var memories: [Memory] = []
    /// The words of each buffer, so that mapping reads only these.
    private var words: [MemoryWords] = []
    /// Memory of the previous mapping of this list, for reuse.
    private var parts: MappingParts?
    /// The parts, in order.
    public private(set) var entries: [Entry] = []

    /// A list without entries.
    public init() {}

    /// Takes ownership of `buffers`; each whole buffer is an entry.
    public init(_ buffers: consuming FixedArray<Buffer>) {
        while let buffer = buffers.popLast() { memories.append(buffer.memory) }
        memories.reverse()
        words = memories.map { MemoryWords($0) }
        entries = memories.indices.map { Entry(buffer: $0, offset: 0, count: memories[$0].count) }
    }

    init(memories: [Memory], words: [MemoryWords], entries: [Entry], parts: MappingParts?) {
        self.parts = parts
        self.memories = memories
        self.words = words
        self.entries = entries
    }

    /// Number of buffers.
    public var bufferCount: Int { memories.count }
    /// The bytes of all entries, or `UInt64.max` where the sum exceeds that.
    public var byteCount: UInt64 {
        entries.reduce(0) { sum, entry in
            let (total, overflow) = sum.addingReportingOverflow(UInt64(entry.count))
            return overflow ? .max : total
        }
    }

    /// Takes ownership of a buffer, and adds all of it as the next entry.
    public mutating func append(_ buffer: consuming Buffer) {
        entries.append(Entry(buffer: memories.count, offset: 0, count: buffer.count))
        words.append(MemoryWords(buffer.memory))
        memories.append(buffer.memory)
    }

    /// Takes ownership of a buffer without adding an entry; ``appendEntry(buffer:range:)`` adds parts of it.
    ///
    /// - Returns: the buffer's number.
    @discardableResult
    public mutating func appendWithoutEntry(_ buffer: consuming Buffer) -> Int {
        words.append(MemoryWords(buffer.memory))
        memories.append(buffer.memory)
        return memories.count - 1
    }

    /// Adds a part of an owned buffer as an entry.
    ///
    /// - Parameters:
    ///   - buffer: its number.
    ///   - range: bytes of it.
    /// - Throws: `noSuchRegion` (no such buffer), `outOfRange`, `zeroLength`.
    public mutating func appendEntry(buffer: Int, range: Range<Int>) throws(DMAError) {
        guard buffer >= 0, buffer < memories.count else {
            throw DMAError(.noSuchRegion, asked: UInt64(UInt(bitPattern: buffer)), limit: UInt64(memories.count))
        }
        let limit = memories[buffer].count
        guard range.lowerBound >= 0, range.upperBound <= limit else {
            let asked = range.lowerBound < 0 ? range.lowerBound : range.upperBound
            throw DMAError(.outOfRange, asked: UInt64(UInt(bitPattern: asked)), limit: UInt64(limit))
        }
        guard !range.isEmpty else { throw DMAError(.zeroLength) }
        entries.append(Entry(buffer: buffer, offset: range.lowerBound, count: range.count))
    }

    /// Reads a buffer's bytes inside `body`; nil where that number does not exist.
    public borrowing func withBytes<R: ~Copyable, E: Error>(
        buffer: Int, _ body: (RawSpan) throws(E) -> R
    ) throws(E) -> R? {
        guard buffer >= 0, buffer < memories.count else { return nil }
        return try Buffer(memories[buffer]).withBytes(body)
    }

    /// Reads and writes a buffer's bytes inside `body`; nil where that number does not exist.
    public mutating func withMutableBytes<R: ~Copyable, E: Error>(
        buffer: Int, _ body: (inout MutableRawSpan) throws(E) -> R
    ) throws(E) -> R? {
        guard buffer >= 0, buffer < memories.count else { return nil }
        // A second reference to the same memory, which ends here while the list is accessed exclusively.
        var handle = Buffer(memories[buffer])
        return try handle.withMutableBytes(body)
    }

    /// Ends the list and returns its buffers, in the order in which they were added.
    public consuming func takeBuffers() -> FixedArray<Buffer> {
        var buffers = FixedArray<Buffer>(capacity: memories.count)
        for memory in memories {
            // There is room for all of them.
            _ = buffers.append(Buffer(memory))
        }
        return buffers
    }

    /// Maps the list for a device: `dma_map_sg`. Entries that are adjacent for the device are merged where its limits allow it,
    /// and split where they require it (rules 32 and 39).
    ///
    /// Parameters as for ``Buffer/map(for:direction:file:line:)``.
    /// - Returns: the mapping, or the list and the reason: as for a buffer, or `zeroLength` for an empty list. A list of more
    ///   segments than the device takes is gathered in one bounce buffer, or refused with `tooManySegments` where bouncing is
    ///   off.
    public consuming func map(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) -> ScatterMapOutcome {
        let parts = parts ?? MappingParts()
        (parts.memories, parts.words, parts.entries) = (memories, words, entries)
        // SAFETY: the record is transferred to the one value that owns it.
        do throws(DMAError) {
            let record = unsafe try domain.core.establish(.list, parts, direction, Origin(file: file, line: line))
            return .mapped(MappedScatterList(unsafe Mapping(record), memories, words, entries, parts))
        } catch {
            // The quarantine may have taken the parts.
            return .failed(error, ScatterList(memories: memories, words: words, entries: entries, parts: nil))
        }
    }

    /// ``map(for:direction:file:line:)`` for clients that do not need the list where mapping fails.
    public consuming func mapped(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> MappedScatterList {
        try map(for: domain, direction: direction, file: file, line: line).get()
    }
}

/// The outcome of mapping a list (rule 31): the mapping, or the reason together with the list.
public enum ScatterMapOutcome: ~Copyable {
    /// The mapping.
    case mapped(MappedScatterList)
    /// The reason, and the list.
    case failed(DMAError, ScatterList)

    /// The mapping; otherwise throws the reason, and the buffers' memory is freed.
    public consuming func get() throws(DMAError) -> MappedScatterList {
        switch consume self {
        case .mapped(let mapped): return mapped
        case .failed(let error, _): throw error
        }
    }
}
