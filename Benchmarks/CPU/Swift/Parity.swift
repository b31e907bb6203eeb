// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACPUEngine
import DMACore

/// XOR and PQ of eight sources, against ISA-L in a C loop. A stripe is one leased block: sources, then P, then Q.
enum Parity {
    static let sizes = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
    static let sources = 8

    static func run(_ what: String, _ size: Int) throws -> Duel {
        let members = sources + 2
        let pieces = Copies.pieces(members * size)
        let domain = Domain(name: "cpu")
        var channel = try Channel<CPUEngine, Block>(CPUEngine(CPUConfiguration(depth: 32)), domain: domain)
        let operation =
            what == "xor"
            ? Operation.xor(sources: 0..<UInt16(sources), to: UInt16(sources))
            : Operation.pq(sources: 0..<UInt16(sources), p: UInt16(sources))
        // One buffer for all, as for the peer: the kernel uses huge pages for large ones.
        var pool = try Pool(
            Copies.buffer(pieces * members * size).map(for: domain, direction: .bidirectional).get(),
            blockSize: members * size, segments: members)
        for _ in 0..<pieces {
            guard let memory = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(operation, memory).get()
        }
        var memory = try Copies.buffer(pieces * members * size)
        let base = unsafe Copies.address(&memory)
        let names = what == "xor" ? ["swift-dma", "isa-l xor_gen"] : ["swift-dma", "isa-l pq_gen", "isa-l ec_encode_data"]
        // Bytes of the sources, as ISA-L's own tests count them.
        return duel(what, bytes: sources * size, names, note: "8 × \(size >> 10) KiB") { index, operations in
            switch (index, what) {
            case (0, _): return churn(&channel, operation, batch: pieces, operations: operations)
            case (1, "xor"):
                return unsafe peer_isal_xor(base, members * size, size, pieces, Int32(sources), size, operations)
            case (1, _): return unsafe peer_isal_pq(base, members * size, size, pieces, Int32(sources), size, operations)
            default: return unsafe peer_isal_encode(base, members * size, size, pieces, Int32(sources), size, operations)
            }
        }
    }
}
