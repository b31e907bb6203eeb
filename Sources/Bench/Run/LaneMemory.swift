// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACPUEngine
internal import DMACore
internal import DMAUnits
internal import Glibc

/// The memory that one channel of a benchmark works on: blocks of two pools, one read and one written, and what each operation
/// takes of them.
struct LaneShape: Sendable {
    let operation: BenchOperation
    let bytes: Int
    /// Transactions in flight.
    let inFlight: Int
    /// Bytes that one transaction's place moves through before it begins anew; as large as what it moves, where memory is warm.
    let span: Int
    /// Blocks read and written by one transaction, and the bytes of each for a span of `bytes`.
    let sources: Int
    let destinations: Int
    let sourceBytes: Int
    let destinationBytes: Int
    let chunk: Int
    /// Of blocks. Bytes, a power of two.
    let alignment: Int
    let notes: [String]

    /// What fills write.
    static let pattern: UInt64 = 0xa5a5_5a5a_1234_5678

    var isCold: Bool { span > bytes }
    /// Bytes of a block on either side.
    var sourceBlock: Int { isCold ? span / bytes * sourceBytes : sourceBytes }
    var destinationBlock: Int { isCold ? span / bytes * destinationBytes : destinationBytes }

    /// - Throws: `lengthMismatch` where the bytes do not divide into the segments.
    init(_ point: BenchPoint, _ settings: BenchSettings, _ capabilities: Capabilities, cache: Int) throws(DMAError) {
        operation = point.operation
        bytes = point.bytes
        var notes: [String] = []
        var (sources, destinations) = (1, 1)
        var (sourceBytes, destinationBytes) = (point.bytes, point.bytes)
        var chunk = 0
        switch point.operation {
        case .copy, .copyCRC32C: break
        case .fill, .fromPeripheral: sources = 0
        case .crc32c, .toPeripheral: destinations = 0
        case .xor, .xorValidate, .pq, .pqValidate:
            sources = min(settings.sources, max(capabilities.maximumSources, 1))
            if sources < settings.sources { notes.append("\(sources) sources: the engine takes no more") }
            destinations = point.operation == .xor ? 1 : point.operation == .xorValidate ? 0 : 2
        case .scatterGather:
            (sources, destinations) = (settings.sourceSegments, settings.destinationSegments)
            guard point.bytes % sources == 0, point.bytes % destinations == 0 else {
                throw DMAError(.lengthMismatch, asked: UInt64(point.bytes), limit: UInt64(max(sources, destinations)))
            }
            (sourceBytes, destinationBytes) = (point.bytes / sources, point.bytes / destinations)
        case .interleaved:
            // Frames of 1 KiB at most, with as large a gap after each at the source.
            chunk = min(point.bytes, 1024)
            while point.bytes % chunk != 0 { chunk -= 1 }
            sourceBytes = 2 * point.bytes
        }
        let each = sources * sourceBytes + destinations * destinationBytes
        let room = max(settings.memory / each, 1)
        let allowed = min(point.depth, capabilities.depth)
        if allowed < point.depth { notes.append("\(allowed) in flight: the engine takes no more") }
        inFlight = min(allowed, room)
        if inFlight < allowed { notes.append("\(inFlight) in flight: \(ByteSize.exact(settings.memory)) of memory") }
        var span = point.bytes
        if settings.cache == .cold, point.operation != .scatterGather, !point.operation.isPeripheral {
            // Twice the last-level cache, shared out to the transactions in flight.
            let places = max(min(2 * cache, settings.memory) / inFlight / each, 1)
            span = places * point.bytes
            if 2 * cache > settings.memory {
                notes.append(
                    "\(ByteSize.exact(settings.memory)) of memory, less than twice the last-level cache: not quite cold")
            }
        } else if settings.cache == .cold {
            notes.append("warm caches: each transfer has a place of its own in memory")
        }
        self.span = span
        // Past the page cache, memory too has to be aligned.
        alignment = point.operation.isPeripheral && settings.direct ? 4096 : 64
        (self.sources, self.destinations, self.chunk) = (sources, destinations, chunk)
        (self.sourceBytes, self.destinationBytes) = (sourceBytes, destinationBytes)
        self.notes = notes
    }

    /// The operation as it is submitted; where memory is cold, offsets are added to it.
    ///
    /// - Parameter place: the peripheral's, for operations that have one.
    @inline(__always)
    func request(flags: DescriptorFlags, at place: PeripheralPlace = .configured) -> DMACore.Operation {
        let count = bytes
        let reads = 0..<UInt16(sources)
        return switch operation {
        case .copy: .copy(count: count, flags: flags)
        case .fill: .fill(count: count, pattern: LaneShape.pattern, flags: flags)
        case .crc32c: .crc32c(count: count, flags: flags)
        case .copyCRC32C: .copyCRC32C(count: count, flags: flags)
        case .xor: .xor(sources: reads, to: UInt16(sources), count: count, flags: flags)
        case .xorValidate: .xorValidate(sources: reads, count: count, flags: flags)
        case .pq: .pq(sources: reads, p: UInt16(sources), count: count, flags: flags)
        case .pqValidate: .pqValidate(sources: reads, p: UInt16(sources), count: count, flags: flags)
        case .scatterGather:
            .scatterGather(from: reads, to: UInt16(sources)..<UInt16(sources + destinations), flags: flags)
        case .fromPeripheral: .fromPeripheral(0..<1, count: count, at: place, flags: flags)
        case .toPeripheral: .toPeripheral(0..<1, count: count, at: place, flags: flags)
        case .interleaved:
            .interleaved(
                template: InterleavedTemplate(
                    frames: UInt32(bytes / chunk), chunk: UInt32(chunk), sourceGap: UInt32(chunk)), flags: flags)
        }
    }
}

/// The pools of one lane. Made, used and ended on one thread.
struct LaneMemory: ~Copyable {
    var source: Pool?
    var destination: Pool?

    init(_ shape: LaneShape, _ domain: Domain, _ settings: BenchSettings, _ stage: Stage) throws(DMAError) {
        source = try LaneMemory.pool(
            shape.sourceBlock, shape.sources * shape.inFlight, domain, shape.alignment, stage, node: settings.sourceNode,
            // Parity over zeroes is zero: what is validated is right.
            content: shape.operation == .xorValidate || shape.operation == .pqValidate ? 0 : 0x9e37_79b9_7f4a_7c15)
        destination = try LaneMemory.pool(
            shape.destinationBlock, shape.destinations * shape.inFlight, domain, shape.alignment, stage,
            node: settings.destinationNode, content: 0)
    }

    private static func pool(
        _ block: Int, _ count: Int, _ domain: Domain, _ grain: Int, _ stage: Stage, node: Int?, content: UInt64
    ) throws(DMAError) -> Pool? {
        guard count > 0 else { return nil }
        // Blocks are at least a cache line apart.
        let stride = (block + grain - 1) / grain * grain
        let alignment = Int(clamping: max(domain.constraints.alignment, 4096))
        var buffer = try Buffer(count: stride * count, alignment: alignment)
        if let node { try NodeMemory.prefer(node) }
        // SAFETY: every offset is below the length of the buffer, and the two pages of a copy are apart.
        unsafe buffer.withUnsafeMutableBytes { bytes in
            // Every page is there before the clock runs, and holds something: a page of words, again and again.
            let page = min(4096, bytes.count)
            for offset in Swift.stride(from: 0, to: page - 7, by: 8) {
                unsafe bytes.storeBytes(of: UInt64(offset + 1) &* content, toByteOffset: offset, as: UInt64.self)
            }
            guard let base = bytes.baseAddress else { return }
            // Memory without end is not filled for a measurement that is called off.
            for offset in Swift.stride(from: page, to: bytes.count, by: page) where !stage.isCalledOff {
                unsafe memcpy(base + offset, base, min(page, bytes.count - offset))
            }
        }
        if node != nil { try NodeMemory.prefer(nil) }
        return try Pool(
            try buffer.mapped(for: domain, direction: .bidirectional), blockSize: block, alignment: min(alignment, grain))
    }

    mutating func sourceBlock() throws(DMAError) -> Block {
        guard let block = source?.lease() else { throw DMAError(.poolEmpty) }
        return block
    }

    mutating func destinationBlock() throws(DMAError) -> Block {
        guard let block = destination?.lease() else { throw DMAError(.poolEmpty) }
        return block
    }
}

/// Which node new pages come from: set_mempolicy(2).
enum NodeMemory {
    /// The nodes that have memory; empty where the kernel does not list them.
    static var nodes: [Int] {
        SmallFile.line("/sys/devices/system/node/has_memory").map(Placement.parse) ?? []
    }

    /// Why the memory that settings ask for cannot be had; nil where it can.
    static func refusal(_ settings: BenchSettings) -> String? {
        for node in [settings.sourceNode, settings.destinationNode].compactMap(\.self) {
            let refused = cdma_bind_memory(Int32(clamping: node))
            guard refused != 0 else {
                _ = cdma_bind_memory(-1)
                continue
            }
            let nodes = SmallFile.line("/sys/devices/system/node/has_memory").map { "; those with memory: \($0)" } ?? ""
            return "memory of node \(node): the kernel refuses it: \(unsafe String(cString: strerror(refused)))\(nodes)"
        }
        return nil
    }

    /// Pages that this thread touches first come from `node`; nil for the kernel's choice.
    ///
    /// - Throws: `badConfiguration` for a node that the machine does not have.
    static func prefer(_ node: Int?) throws(DMAError) {
        guard let node else {
            _ = cdma_bind_memory(-1)
            return
        }
        let failed = cdma_bind_memory(Int32(clamping: node))
        if failed != 0 { throw DMAError(.badConfiguration, asked: UInt64(clamping: node), limit: 0, errno: failed) }
    }
}
