// SPDX-License-Identifier: Apache-2.0

/// The operations of an engine: the kernel's `enum dma_transaction_type`, named by what moves.
@frozen
public enum OperationKind: UInt8, Hashable, Sendable, CaseIterable {
    /// `DMA_MEMCPY`
    case copy = 0
    /// `DMA_MEMSET`
    case fill = 1
    /// CRC32C of a range; the kernel leaves it to each driver.
    case crc32c = 2
    /// A copy and the CRC32C of the copied bytes, in one pass.
    case copyCRC32C = 3
    /// `DMA_XOR`
    case xor = 4
    /// `DMA_XOR_VAL`
    case xorValidate = 5
    /// `DMA_PQ`
    case pq = 6
    /// `DMA_PQ_VAL`
    case pqValidate = 7
    /// Memory to memory through two lists of unequal segments.
    case scatterGather = 8
    /// `DMA_SLAVE` with `device_prep_slave_sg`.
    case peripheral = 9
    /// `DMA_INTERLEAVE`
    case interleaved = 10
    /// `DMA_CYCLIC`
    case cyclic = 11
    /// A descriptor that moves nothing and raises an interrupt: `DMA_INTERRUPT`.
    case null = 12
    /// A command to a peripheral that moves none of the client's memory: flush, allocate, discard, or a transfer to another
    /// peripheral.
    case command = 13
}

extension OperationKind {
    /// The kind with the name of one of the cases above; nil for any other text.
    package init?(name: String) {
        guard let kind = OperationKind.allCases.first(where: { "\($0)" == name }) else { return nil }
        self = kind
    }
}

/// A set of operation kinds: the kernel's `dma_cap_mask_t`.
@frozen
public struct OperationSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The set with one kind.
    @inlinable public init(_ kind: OperationKind) { rawValue = 1 << UInt32(kind.rawValue) }
    /// ``OperationKind/copy``.
    @inlinable public static var copy: Self { Self(.copy) }
    /// ``OperationKind/fill``.
    @inlinable public static var fill: Self { Self(.fill) }
    /// ``OperationKind/crc32c``.
    @inlinable public static var crc32c: Self { Self(.crc32c) }
    /// ``OperationKind/copyCRC32C``.
    @inlinable public static var copyCRC32C: Self { Self(.copyCRC32C) }
    /// ``OperationKind/xor``.
    @inlinable public static var xor: Self { Self(.xor) }
    /// ``OperationKind/xorValidate``.
    @inlinable public static var xorValidate: Self { Self(.xorValidate) }
    /// ``OperationKind/pq``.
    @inlinable public static var pq: Self { Self(.pq) }
    /// ``OperationKind/pqValidate``.
    @inlinable public static var pqValidate: Self { Self(.pqValidate) }
    /// ``OperationKind/scatterGather``.
    @inlinable public static var scatterGather: Self { Self(.scatterGather) }
    /// ``OperationKind/peripheral``.
    @inlinable public static var peripheral: Self { Self(.peripheral) }
    /// ``OperationKind/interleaved``.
    @inlinable public static var interleaved: Self { Self(.interleaved) }
    /// ``OperationKind/cyclic``.
    @inlinable public static var cyclic: Self { Self(.cyclic) }
    /// ``OperationKind/null``.
    @inlinable public static var null: Self { Self(.null) }
    /// ``OperationKind/command``.
    @inlinable public static var command: Self { Self(.command) }

    /// The kinds in the set, in the order of their raw values.
    public var kinds: [OperationKind] { OperationKind.allCases.filter { contains(OperationSet($0)) } }
}

/// Modifiers of one descriptor: the kernel's `enum dma_ctrl_flags`.
@frozen
public struct DescriptorFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Later transactions start only after this one has completed: `DMA_PREP_FENCE` (rule 26).
    @inlinable public static var fence: Self { Self(rawValue: 1) }
    /// Completion raises an interrupt, which wakes waiters: `DMA_PREP_INTERRUPT` (rule 14).
    @inlinable public static var interrupt: Self { Self(rawValue: 2) }
    /// The transaction can be submitted again after it has completed: `DMA_CTRL_REUSE` (rule 25).
    @inlinable public static var reuse: Self { Self(rawValue: 4) }
    /// The destinations' present contents are one more source: `DMA_PREP_CONTINUE` (rule 27).
    @inlinable public static var `continue`: Self { Self(rawValue: 8) }
    /// P is not computed: `DMA_PREP_PQ_DISABLE_P`.
    @inlinable public static var disableP: Self { Self(rawValue: 16) }
    /// Q is not computed: `DMA_PREP_PQ_DISABLE_Q`.
    @inlinable public static var disableQ: Self { Self(rawValue: 32) }
}
