// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACPUEngine
import DMACore

/// A stripe: sources, then P, then Q, one after the other in one block.
struct Stripe: ~Copyable, Cargo {
    private var memory: Block
    private let size: UInt64
    let regionCount: Int

    init(_ memory: consuming Block, members: Int) {
        size = UInt64(memory.count / members)
        regionCount = members
        self.memory = memory
    }

    @_lifetime(borrow self)
    func region(at index: Int) -> Region {
        guard index >= 0, index < regionCount else { return .none }
        return memory.region(at: 0).part(from: UInt64(index) * size, count: size)
    }
}

/// XOR and PQ of eight sources, beside ISA-L in a C loop.
enum Parity {
    static let sizes = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
    static let sources = 8

    static func run(_ what: String, _ size: Int) throws -> Duel {
        let members = sources + 2
        let pieces = Copies.pieces(members * size)
        let domain = Domain(name: "cpu")
        var channel = try Channel<CPUEngine, Stripe>(CPUEngine(CPUConfiguration(depth: 32)), domain: domain)
        let operation =
            what == "xor"
            ? Operation.xor(sources: 0..<UInt16(sources), to: UInt16(sources))
            : Operation.pq(sources: 0..<UInt16(sources), p: UInt16(sources))
        // One buffer for all, as for the peer: the kernel gives large ones large pages.
        var pool = try Pool(
            Copies.buffer(pieces * members * size).map(for: domain, direction: .bidirectional).get(),
            blockSize: members * size)
        for _ in 0..<pieces {
            guard let memory = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(operation, Stripe(memory, members: members)).get()
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
