// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

extension OperationKind {
    /// Whether it has at most one source and one destination, each contiguous.
    @inlinable
    var isPlain: Bool {
        switch self {
        case .copy, .fill, .crc32c, .copyCRC32C, .null: true
        default: false
        }
    }
}

/// One unit of work, in terms of the cargo it is submitted with: regions, offsets and a byte count.
///
/// Made by the static functions. It contains no address: the channel resolves region numbers against the cargo that the
/// transaction owns, and refuses what does not fit.
@frozen
public struct Operation: Sendable {
    /// The kind of operation.
    public let kind: OperationKind
    /// The flags: fence, interrupt, reuse, and those of PQ.
    public var flags: DescriptorFlags
    /// The first source region, and the number that follow.
    @usableFromInline package let source: UInt16
    /// How many regions are read.
    @usableFromInline package let sourceCount: UInt16
    /// The first destination region, and how many follow.
    @usableFromInline package let destination: UInt16
    /// How many regions are written.
    @usableFromInline package let destinationCount: UInt16
    /// The offset into each source region, and into each destination region, in bytes.
    @usableFromInline package var sourceOffset: UInt64
    /// The offset into the first region that is written, in bytes.
    @usableFromInline package var destinationOffset: UInt64
    /// Bytes; `UInt64.max` means the rest of the region.
    @usableFromInline package var length: UInt64
    /// The payload in a descriptor's encoding. Use ``payload``: the meaning of the words depends on the kind.
    @usableFromInline let value: UInt64
    @usableFromInline let detail: SIMD4<UInt64>

    @inlinable @inline(__always)
    init(
        _ kind: OperationKind, source: Places, destination: Places, sourceOffset: UInt64 = 0,
        destinationOffset: UInt64 = 0, length: UInt64 = .max, payload: OperationPayload = .none, flags: DescriptorFlags
    ) {
        self.init(
            kind, source: source, destination: destination, sourceOffset: sourceOffset, destinationOffset: destinationOffset,
            length: length, value: payload.value, detail: payload.detail, flags: flags)
    }

    /// An operation from its fields, passed one by one.
    @inlinable @inline(__always)
    init(
        _ kind: OperationKind, source: Places, destination: Places, sourceOffset: UInt64, destinationOffset: UInt64,
        length: UInt64, value: UInt64, detail: SIMD4<UInt64>, flags: DescriptorFlags
    ) {
        self.kind = kind
        self.flags = flags
        self.source = source.first
        self.sourceCount = source.count
        self.destination = destination.first
        self.destinationCount = destination.count
        self.sourceOffset = sourceOffset
        self.destinationOffset = destinationOffset
        self.length = length
        self.value = value
        self.detail = detail
    }

    /// Bytes; `Int.max` means the rest of the region. Less than 1 is refused as `zeroLength`.
    @inlinable
    public var count: Int {
        get { length == .max ? .max : Int(clamping: length) }
        set { length = Self.length(newValue) }
    }

    /// A client's count in a descriptor's encoding.
    @inlinable @inline(__always)
    static func length(_ count: Int) -> UInt64 { count == .max ? .max : UInt64(max(count, 0)) }

    /// A negative offset lies outside every region, and is refused as such.
    @inlinable @inline(__always)
    static func word(_ offset: Int) -> UInt64 { UInt64(truncatingIfNeeded: offset) }

    /// The operation's parameters beyond its places and its count.
    @inlinable
    package var payload: OperationPayload { OperationPayload(kind, value: value, detail: detail) }

    @inlinable @inline(__always)
    static func one(_ index: UInt16) -> Places { Places(first: index, count: 1) }

    @inlinable @inline(__always)
    static func none() -> Places { Places(first: 0, count: 0) }

    /// A number of regions. Not a range: one that begins with the last number would end beyond it, and trap.
    @usableFromInline @frozen
    struct Places {
        @usableFromInline let first: UInt16
        @usableFromInline let count: UInt16
        @inlinable @inline(__always)
        init(first: UInt16, count: UInt16) {
            self.first = first
            self.count = count
        }
        @inlinable @inline(__always)
        init(_ range: Range<UInt16>) {
            first = range.lowerBound
            count = range.upperBound &- range.lowerBound
        }
    }
}

extension Operation {
    /// Copies `count` bytes of one region into another: `dmaengine_prep_dma_memcpy`.
    @inlinable @inline(__always)
    public static func copy(
        from source: UInt16 = 0, to destination: UInt16 = 1, sourceOffset: Int = 0, destinationOffset: Int = 0,
        count: Int = .max, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .copy, source: one(source), destination: one(destination), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: length(count), flags: flags)
    }

    /// Fills with a pattern of 8 bytes, least significant byte first, starting with the first byte of the range:
    /// `dmaengine_prep_dma_memset`.
    @inlinable @inline(__always)
    public static func fill(
        _ destination: UInt16 = 0, offset: Int = 0, count: Int = .max, pattern: UInt64, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .fill, source: none(), destination: one(destination), destinationOffset: word(offset), length: length(count),
            payload: .pattern(pattern), flags: flags)
    }

    /// CRC32C (Castagnoli, reflected) of a range, in ``Finished/value``. `seed` is the CRC of the preceding data, 0 at the
    /// beginning.
    @inlinable @inline(__always)
    public static func crc32c(
        of source: UInt16 = 0, offset: Int = 0, count: Int = .max, seed: UInt32 = 0, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .crc32c, source: one(source), destination: none(), sourceOffset: word(offset), length: length(count),
            payload: .seed(seed),
            flags: flags)
    }

    /// Copies, and returns the CRC32C of the copied bytes in ``Finished/value``.
    @inlinable @inline(__always)
    public static func copyCRC32C(
        from source: UInt16 = 0, to destination: UInt16 = 1, sourceOffset: Int = 0, destinationOffset: Int = 0,
        count: Int = .max, seed: UInt32 = 0, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .copyCRC32C, source: one(source), destination: one(destination), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: length(count), payload: .seed(seed), flags: flags)
    }

    /// XOR of the sources into a destination, which may be one of them: `dmaengine_prep_dma_xor`. With `DescriptorFlags.continue`
    /// the destination's present contents are one more source.
    @inlinable @inline(__always)
    public static func xor(
        sources: Range<UInt16>, to destination: UInt16, sourceOffset: Int = 0, destinationOffset: Int = 0,
        count: Int = .max, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .xor, source: Places(sources), destination: one(destination), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: length(count), flags: flags)
    }

    /// Checks whether the sources XOR to zero; a failure is `ValidationResult.pFailed` in ``Finished/validation``.
    @inlinable @inline(__always)
    public static func xorValidate(
        sources: Range<UInt16>, offset: Int = 0, count: Int = .max, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .xorValidate, source: Places(sources), destination: none(), sourceOffset: word(offset), length: length(count),
            flags: flags)
    }

    /// P and Q of the sources into regions `p` and `p + 1`: `dmaengine_prep_dma_pq`, rule 27.
    ///
    /// With `DescriptorFlags.disableP` or `DescriptorFlags.disableQ` the region is still named, and left unchanged.
    @inlinable @inline(__always)
    public static func pq(
        sources: Range<UInt16>, p: UInt16, sourceOffset: Int = 0, destinationOffset: Int = 0, count: Int = .max,
        coefficients: Coefficients = .raid6, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .pq, source: Places(sources), destination: Places(first: p, count: 2), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: length(count), payload: .coefficients(coefficients),
            flags: flags)
    }

    /// Checks whether regions `p` and `p + 1` are P and Q of the sources; ``Finished/validation`` tells which of them is wrong.
    @inlinable @inline(__always)
    public static func pqValidate(
        sources: Range<UInt16>, p: UInt16, sourceOffset: Int = 0, destinationOffset: Int = 0, count: Int = .max,
        coefficients: Coefficients = .raid6, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .pqValidate, source: Places(sources), destination: Places(first: p, count: 2), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: length(count), payload: .coefficients(coefficients),
            flags: flags)
    }

    /// Copies one list of regions into another; both lists have the same total length, while their segments need not match.
    @inlinable @inline(__always)
    public static func scatterGather(
        from sources: Range<UInt16>, to destinations: Range<UInt16>, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(.scatterGather, source: Places(sources), destination: Places(destinations), flags: flags)
    }

    /// Writes a list of regions to a peripheral: `dmaengine_prep_slave_sg` with `DMA_MEM_TO_DEV`.
    @inlinable @inline(__always)
    public static func toPeripheral(
        _ sources: Range<UInt16>, offset: Int = 0, count: Int = .max, at place: PeripheralPlace = .configured,
        flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .peripheral, source: Places(sources), destination: none(), sourceOffset: word(offset), length: length(count),
            payload: .place(place), flags: flags)
    }

    /// Reads from a peripheral into a list of regions: `dmaengine_prep_slave_sg` with `DMA_DEV_TO_MEM`.
    @inlinable @inline(__always)
    public static func fromPeripheral(
        _ destinations: Range<UInt16>, offset: Int = 0, count: Int = .max, at place: PeripheralPlace = .configured,
        flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .peripheral, source: none(), destination: Places(destinations), destinationOffset: word(offset),
            length: length(count),
            payload: .place(place), flags: flags)
    }

    /// Moves frames with gaps: `dmaengine_prep_interleaved_dma`, rule 23.
    @inlinable @inline(__always)
    public static func interleaved(
        from source: UInt16 = 0, to destination: UInt16 = 1, sourceOffset: Int = 0, destinationOffset: Int = 0,
        template: InterleavedTemplate, flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .interleaved, source: one(source), destination: one(destination), sourceOffset: word(sourceOffset),
            destinationOffset: word(destinationOffset), length: template.count, payload: .template(template), flags: flags)
    }

    /// Runs round one region until terminated, and reports each period: `dmaengine_prep_dma_cyclic`, rule 22. `period` divides
    /// the region's length.
    @inlinable @inline(__always)
    public static func cyclic(_ ring: UInt16 = 0, period: Int, direction: Direction, flags: DescriptorFlags = [.interrupt])
        -> Operation
    {
        Operation(
            .cyclic, source: direction == .toDevice ? one(ring) : none(),
            destination: direction == .toDevice ? none() : one(ring), payload: .period(word(period)), flags: flags)
    }

    /// Moves nothing and completes in order: `dmaengine_prep_dma_interrupt`.
    @inlinable @inline(__always)
    public static func null(flags: DescriptorFlags = [.interrupt]) -> Operation {
        Operation(.null, source: none(), destination: none(), length: 0, flags: flags)
    }
}
