// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// The memory of one transfer: a leased block, the part of the source that it holds, and whether it is being read or written.
struct CopyChunk: ~Copyable, Cargo {
    enum Leg { case reading, writing }

    var block: Block
    /// The number of the read, from 0.
    let sequence: UInt64
    /// Offset in the source.
    let position: UInt64
    /// Bytes requested; after the read, bytes that were read.
    var count: Int
    var leg = Leg.reading

    init(_ block: consuming Block, sequence: UInt64, position: UInt64, count: Int) {
        self.block = block
        self.sequence = sequence
        self.position = position
        self.count = count
    }

    var regionCount: Int { 1 }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { block.region(at: index) }
}

/// Holds a chunk until its turn, for a target that must be written in order.
final class ParkedChunk {
    private var chunk: CopyChunk?

    init(_ chunk: consuming CopyChunk) { self.chunk = consume chunk }

    func take() -> CopyChunk? { chunk.take() }
}
