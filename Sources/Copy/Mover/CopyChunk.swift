// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// One transfer's memory and what is known of it: a leased block, which part of the copy it carries, and on which leg it is.
struct CopyChunk: ~Copyable, Cargo {
    enum Leg { case reading, writing }

    var block: Block
    /// In the order of the reads.
    let sequence: UInt64
    /// In the source's bytes, from its beginning.
    let position: UInt64
    /// Bytes asked for, then bytes that came.
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

/// A place where a chunk waits for its turn, where the target takes bytes in order.
final class ParkedChunk {
    private var chunk: CopyChunk?

    init(_ chunk: consuming CopyChunk) { self.chunk = consume chunk }

    func take() -> CopyChunk? { chunk.take() }
}
