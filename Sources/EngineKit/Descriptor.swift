// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// A range of bus addresses in an engine's operand list.
@frozen
public struct Segment: Equatable, Sendable {
    /// Bus address of the first byte.
    public var address: UInt64
    /// Bytes.
    public var count: UInt64
    /// `count` bytes at bus address `address`.
    @inlinable
    public init(address: UInt64, count: UInt64) {
        self.address = address
        self.count = count
    }
}

/// One transaction as an engine receives it: plain words, which the channel has checked against the cargo and the engine's
/// capabilities.
///
/// Only the channel makes descriptors. The initializer is unsafe, because an engine reads and writes the addresses that a
/// descriptor holds.
///
/// Operations with one source and one destination use `source`, `destination` and `count` alone. XOR and PQ, scatter lists and
/// peripheral lists have their operands in `operands`: `sourceCount` segments, then `destinationCount`. The list stays valid until
/// the engine has reported the transaction's completion or has quiesced.
// SAFETY: sending a descriptor sends words. The pointers are dereferenced by engines, by whose contract they are valid until the
// transaction ends, and by the bounds-checked accessors below.
@frozen @safe
public struct Descriptor: @unchecked Sendable {
    /// The operation.
    public var kind: OperationKind
    /// The flags.
    public var flags: DescriptorFlags
    /// Segments of ``operands`` that are read; 0 where there are no operands.
    public var sourceCount: UInt16
    /// Segments of ``operands`` that are written; 0 where there are no operands.
    public var destinationCount: UInt16
    /// Bus address of the (first) source; 0 where there is none.
    public var source: UInt64
    /// Bus address of the (first) destination; 0 where there is none.
    public var destination: UInt64
    /// Bytes: the length of each source for XOR and PQ, the total for every other operation.
    public var count: UInt64
    /// Fill pattern, CRC seed, period, or position in a peripheral (see ``place``).
    public var value: UInt64
    /// Coefficients, template, or peripherals (see ``place``, ``command``, ``secondPlace``).
    public var detail: SIMD4<UInt64>
    /// The segments of operations with several operands; nil for the others.
    public var operands: UnsafePointer<Segment>?
    /// This descriptor's metadata area (rule 28), or nil on channels that have none.
    public var metadata: UnsafeMutableRawPointer?

    /// Assembles a descriptor from its words.
    ///
    /// The caller guarantees that the device may access these addresses until the transaction has ended or the engine has
    /// quiesced.
    @unsafe @inlinable
    public init(
        kind: OperationKind, flags: DescriptorFlags = [], source: UInt64 = 0, destination: UInt64 = 0, count: UInt64 = 0,
        value: UInt64 = 0
    ) {
        // SAFETY: no pointer is stored; the caller guarantees that the addresses may be accessed.
        self.kind = kind
        self.flags = flags
        self.source = source
        self.destination = destination
        self.count = count
        self.value = value
        sourceCount = 0
        destinationCount = 0
        detail = .zero
        unsafe operands = nil
        unsafe metadata = nil
    }

    /// The weights of a PQ operation.
    @inlinable
    public var coefficients: Coefficients {
        // SAFETY: both are 32 bytes of which every bit pattern is valid.
        unsafe unsafeBitCast(detail, to: Coefficients.self)
    }

    /// The frames of an interleaved operation.
    @inlinable
    public var template: InterleavedTemplate { InterleavedTemplate(words: detail) }

    /// Source segment `index`; an empty segment where that number does not exist.
    @inlinable
    public func sourceSegment(_ index: Int) -> Segment {
        guard let list = unsafe operands, index >= 0, index < Int(sourceCount) else { return Segment(address: 0, count: 0) }
        // SAFETY: the index is below the number of source segments, with which the list was made.
        return unsafe list[index]
    }

    /// Destination segment `index`; an empty segment where that number does not exist.
    @inlinable
    public func destinationSegment(_ index: Int) -> Segment {
        guard let list = unsafe operands, index >= 0, index < Int(destinationCount) else {
            return Segment(address: 0, count: 0)
        }
        // SAFETY: the destinations follow the sources, and the index is below their number.
        return unsafe list[Int(sourceCount) + index]
    }
}

extension InterleavedTemplate {
    /// Decodes the words of a descriptor.
    @inlinable
    package init(words: SIMD4<UInt64>) {
        self.init(
            frames: UInt32(truncatingIfNeeded: words[0]), chunk: UInt32(truncatingIfNeeded: words[1]),
            sourceGap: UInt32(truncatingIfNeeded: words[2]), destinationGap: UInt32(truncatingIfNeeded: words[2] >> 32))
        sourceIncrements = words[3] & 1 != 0
        destinationIncrements = words[3] & 2 != 0
        sourceScatters = words[3] & 4 != 0
        destinationScatters = words[3] & 8 != 0
    }

    /// The words of a descriptor: frames, chunk, gaps, and which side advances and scatters.
    @inlinable
    package var words: SIMD4<UInt64> {
        let sides: UInt64 =
            (sourceIncrements ? 1 : 0) | (destinationIncrements ? 2 : 0) | (sourceScatters ? 4 : 0)
            | (destinationScatters ? 8 : 0)
        return SIMD4(UInt64(frames), UInt64(chunk), UInt64(sourceGap) | UInt64(destinationGap) << 32, sides)
    }
}
