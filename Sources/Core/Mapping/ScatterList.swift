// SPDX-License-Identifier: Apache-2.0

/// Parts of buffers, in the order in which a device shall see them: the kernel's `struct scatterlist`, before mapping.
///
/// The list owns its buffers. While it is not mapped, the CPU owns their bytes.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
public struct ScatterList: ~Copyable, Sendable {
    /// A part of one buffer.
    public struct Entry: Hashable, Sendable {
        /// Which buffer, in the order in which they were added.
        public let buffer: Int
        /// First byte of the part.
        public let offset: Int
        /// Bytes, at least 1.
        public let count: Int
    }

    var memories: [Memory] = []
    /// Of each of them, so that mapping reads words alone.
    private var words: [MemoryWords] = []
    /// What the last mapping of this list used, to be used again.
    private var parts: MappingParts?
    /// The parts, in order.
    public private(set) var entries: [Entry] = []

    /// A list without entries.
    public init() {}

    /// Takes over `buffers`; each whole buffer is an entry.
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
    /// Bytes of all entries, or `UInt64.max` should they be more.
    public var byteCount: UInt64 {
        entries.reduce(0) { sum, entry in
            let (total, overflow) = sum.addingReportingOverflow(UInt64(entry.count))
            return overflow ? .max : total
        }
    }

    /// Takes over a buffer; all of it is the next entry.
    public mutating func append(_ buffer: consuming Buffer) {
        entries.append(Entry(buffer: memories.count, offset: 0, count: buffer.count))
        words.append(MemoryWords(buffer.memory))
        memories.append(buffer.memory)
    }

    /// Takes over a buffer without an entry; parts of it are added by ``appendEntry(buffer:range:)``.
    ///
    /// - Returns: its number.
    @discardableResult
    public mutating func appendWithoutEntry(_ buffer: consuming Buffer) -> Int {
        words.append(MemoryWords(buffer.memory))
        memories.append(buffer.memory)
        return memories.count - 1
    }

    /// Adds a part of a buffer that the list owns.
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

    /// Reads a buffer's bytes inside `body`; nil where there is no buffer of that number.
    public borrowing func withBytes<R: ~Copyable, E: Error>(
        buffer: Int, _ body: (RawSpan) throws(E) -> R
    ) throws(E) -> R? {
        guard buffer >= 0, buffer < memories.count else { return nil }
        return try Buffer(memories[buffer]).withBytes(body)
    }

    /// Reads and writes a buffer's bytes inside `body`; nil where there is no buffer of that number.
    public mutating func withMutableBytes<R: ~Copyable, E: Error>(
        buffer: Int, _ body: (inout MutableRawSpan) throws(E) -> R
    ) throws(E) -> R? {
        guard buffer >= 0, buffer < memories.count else { return nil }
        // A second handle on the same memory, which ends here while the list is held exclusively.
        var handle = Buffer(memories[buffer])
        return try handle.withMutableBytes(body)
    }

    /// Ends the list and gives its buffers back, in the order in which they were added.
    public consuming func takeBuffers() -> FixedArray<Buffer> {
        var buffers = FixedArray<Buffer>(capacity: memories.count)
        for memory in memories {
            // There is room for all of them.
            _ = buffers.append(Buffer(memory))
        }
        return buffers
    }

    /// Maps the list for a device: `dma_map_sg`. Entries that touch as the device sees them are merged where its limits allow
    /// it, and cut where its limits demand it (rules 32 and 39).
    ///
    /// Parameters as for ``Buffer/map(for:direction:file:line:)``.
    /// - Returns: the mapping, or the list and the reason: as for a buffer, or `zeroLength` for an empty list. A list of
    ///   more segments than the device takes is gathered in one piece of bounce memory, or refused with `tooManySegments` where
    ///   bouncing is off.
    public consuming func map(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) -> ScatterMapOutcome {
        let parts = parts ?? MappingParts()
        (parts.memories, parts.words, parts.entries) = (memories, words, entries)
        // SAFETY: the record is handed over to the one value that owns it.
        do throws(DMAError) {
            let record = unsafe try domain.core.establish(.list, parts, direction, Origin(file: file, line: line))
            return .mapped(MappedScatterList(unsafe Mapping(record), memories, words, entries, parts))
        } catch {
            // The quarantine may have the parts.
            return .failed(error, ScatterList(memories: memories, words: words, entries: entries, parts: nil))
        }
    }

    /// ``map(for:direction:file:line:)`` for clients that have no use for the list where mapping fails.
    public consuming func mapped(
        for domain: Domain, direction: Direction, file: StaticString = #fileID, line: UInt = #line
    ) throws(DMAError) -> MappedScatterList {
        try map(for: domain, direction: direction, file: file, line: line).get()
    }
}

/// The answer to a wish for a mapping of a list (rule 31): it, or the reason together with the list.
public enum ScatterMapOutcome: ~Copyable {
    /// The device reaches it.
    case mapped(MappedScatterList)
    /// Why not, and the list back.
    case failed(DMAError, ScatterList)

    /// The mapping; otherwise the reason is thrown, and the buffers' memory is given back to the kernel.
    public consuming func get() throws(DMAError) -> MappedScatterList {
        switch consume self {
        case .mapped(let mapped): return mapped
        case .failed(let error, _): throw error
        }
    }
}
