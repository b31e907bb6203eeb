// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// What a descriptor does.
public enum IOATOperation: UInt8, FieldChoice, CaseIterable {
    case copy = 0x00
    case fill = 0x01
    case xor = 0x87
    case xorValidate = 0x88
    case pq = 0x89
    case pqValidate = 0x8a
    /// P and Q for one source that has changed.
    case pqUpdate = 0x8b

    /// Whether it has a list of sources.
    @inlinable public var isParity: Bool { rawValue >= 0x87 }
    /// Sources for which the descriptor itself has room; the others are in its extension.
    @inlinable public var ownSources: Int {
        switch self {
        case .xor, .xorValidate: 5
        case .pq, .pqValidate: 3
        default: 1
        }
    }

    /// Bits of the control word that have to be 0.
    public var reservedControl: UInt32 {
        switch self {
        case .copy: 0x00ff_f800
        case .fill: 0x00ff_fe62
        case .xor, .xorValidate: 0x00ff_f800
        case .pq, .pqValidate: 0x00ff_e000
        case .pqUpdate: 0x0000_e000
        }
    }
}

/// The second word of a descriptor.
public struct IOATControl: RegisterLayout {
    public var word: UInt32
    @inlinable public init(word: UInt32) { self.word = word }

    /// An operation without options.
    @inlinable
    public init(_ operation: IOATOperation) { word = UInt32(operation.rawValue) << 24 }

    /// Sources of a parity operation: the field is 2 less (Linux, `src_cnt_to_hw`).
    @inlinable public var sources: Int {
        get { Int(word >> 5 & 7) + 2 }
        set { word = word & ~0xe0 | UInt32(truncatingIfNeeded: min(max(newValue, 2), 9) - 2) << 5 }
    }
}

extension Field where Layout == IOATControl, Value == Bool {
    /// The end interrupts.
    @inlinable public static var interrupts: Self { Self(0) }
    @inlinable public static var sourceNotSnooped: Self { Self(1) }
    @inlinable public static var destinationNotSnooped: Self { Self(2) }
    /// The end is written to ``IOATChannel/completionAddress``.
    @inlinable public static var writesCompletion: Self { Self(3) }
    /// Later descriptors begin when this one's writes are done.
    @inlinable public static var fence: Self { Self(4) }
    /// A copy that moves nothing.
    @inlinable public static var isNull: Self { Self(5) }
    @inlinable public static var sourceBreaks: Self { Self(6) }
    @inlinable public static var destinationBreaks: Self { Self(7) }
    @inlinable public static var bundles: Self { Self(8) }
    @inlinable public static var cacheAccess: Self { Self(9) }
    @inlinable public static var hint: Self { Self(10) }
    /// P is neither computed nor checked.
    @inlinable public static var disablesP: Self { Self(11) }
    /// Q is neither computed nor checked.
    @inlinable public static var disablesQ: Self { Self(12) }
}

extension Field where Layout == IOATControl, Value == IOATOperation {
    /// What the descriptor does; nil for an operation that there is not.
    @inlinable public static var operation: Self { Self(24...31) }
}

/// A descriptor, or the extension of one: 64 bytes, every pattern of which is a value.
///
/// Words, of 64 bits each: 0 size and control; 1 source, or what is filled; 2 destination, or P; 3 the next descriptor, also in an extension;
/// 4 to 7 further sources, coefficients, Q. Bytes are in little-endian order.
@frozen
public struct IOATDescriptor: BitwiseCopyable, Sendable, Equatable {
    public var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

    /// All zero.
    @inlinable public init() { words = (0, 0, 0, 0, 0, 0, 0, 0) }

    /// One with a size in bytes.
    @inlinable
    public init(_ control: IOATControl, size: UInt32) {
        self.init()
        words.0 = UInt64(size) | UInt64(control.word) << 32
    }

    /// Bytes of the transfer.
    @inlinable public var size: UInt32 { UInt32(truncatingIfNeeded: words.0) }
    @inlinable public var control: IOATControl {
        get { IOATControl(word: UInt32(truncatingIfNeeded: words.0 >> 32)) }
        set { words.0 = words.0 & 0xffff_ffff | UInt64(newValue.word) << 32 }
    }
    /// The first source, or the pattern of a fill.
    @inlinable public var source: UInt64 {
        get { words.1 }
        set { words.1 = newValue }
    }
    /// The destination, or P.
    @inlinable public var destination: UInt64 {
        get { words.2 }
        set { words.2 = newValue }
    }
    /// The descriptor behind this one.
    @inlinable public var next: UInt64 {
        get { words.3 }
        set { words.3 = newValue }
    }
    /// Coefficients of PQ, a byte for each source, the first in the lowest.
    @inlinable public var coefficients: UInt64 {
        get { words.6 }
        set { words.6 = newValue }
    }
    /// Q.
    @inlinable public var q: UInt64 {
        get { words.7 }
        set { words.7 = newValue }
    }

    @inlinable
    public static func == (left: IOATDescriptor, right: IOATDescriptor) -> Bool {
        (0..<8).allSatisfy { left[$0] == right[$0] }
    }

    /// A word by its number, modulo 8.
    @inlinable
    public subscript(_ number: Int) -> UInt64 {
        get {
            switch number & 7 {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            case 3: words.3
            case 4: words.4
            case 5: words.5
            case 6: words.6
            default: words.7
            }
        }
        set {
            switch number & 7 {
            case 0: words.0 = newValue
            case 1: words.1 = newValue
            case 2: words.2 = newValue
            case 3: words.3 = newValue
            case 4: words.4 = newValue
            case 5: words.5 = newValue
            case 6: words.6 = newValue
            default: words.7 = newValue
            }
        }
    }

    /// Where source `index` of a parity operation stands: in the extension or not, and the word's number (Linux, prep.c, `xor_idx_to_field`,
    /// `pq_idx_to_field`).
    @inlinable
    public static func place(of index: Int, _ operation: IOATOperation) -> (isExtension: Bool, word: Int) {
        switch operation {
        case .pq, .pqValidate:
            switch index {
            case 0: (false, 1)
            case 1, 2: (false, 3 + index)
            case 3...5: (true, index - 3)
            default: (true, index - 2)
            }
        default:
            switch index {
            case 0: (false, 1)
            case 1...4: (false, 3 + index)
            default: (true, index - 5)
            }
        }
    }
}
