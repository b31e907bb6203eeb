// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// An operation's parameters beyond its places and its count: one value, of the type that its kind requires.
///
/// Typed for clients. A descriptor encodes it in words, ``value`` and ``detail``, as hardware descriptors do.
@usableFromInline @frozen
package enum OperationPayload: Equatable, Sendable {
    /// Copies, XOR, scatter lists, null.
    case none
    /// The fill pattern, least significant byte first.
    case pattern(UInt64)
    /// The CRC32C of the preceding data.
    case seed(UInt32)
    /// The weights of P and Q.
    case coefficients(Coefficients)
    /// The frames of an interleaved copy.
    case template(InterleavedTemplate)
    /// The length of a cyclic transfer's period, in bytes.
    case period(UInt64)
    /// The place where a peripheral transfer begins.
    case place(PeripheralPlace)
    /// A command, the place where it begins, and for one between two peripherals, the destination.
    case command(PeripheralCommand, PeripheralPlace, to: PeripheralPlace)
}

extension OperationPayload {
    /// `Descriptor.value`.
    @inlinable @inline(__always)
    package var value: UInt64 {
        switch self {
        case .none, .coefficients, .template: 0
        case .pattern(let pattern): pattern
        case .seed(let seed): UInt64(seed)
        case .period(let period): period
        case .place(let place): place.positionWord
        case .command(_, let place, to: _): place.positionWord
        }
    }

    /// `Descriptor.detail`.
    @inlinable @inline(__always)
    package var detail: SIMD4<UInt64> {
        switch self {
        case .none, .pattern, .seed, .period: .zero
        // SAFETY: both are 32 bytes of which every bit pattern is valid.
        case .coefficients(let coefficients): unsafe unsafeBitCast(coefficients, to: SIMD4<UInt64>.self)
        case .template(let template): template.words
        case .place(let place): SIMD4(place.numberWord, 0, 0, 0)
        case .command(let command, let place, let target):
            SIMD4(place.numberWord, UInt64(command.rawValue), target.numberWord, target.positionWord)
        }
    }

    /// The payload of an operation of `kind`, from the words of a descriptor.
    @inlinable
    init(_ kind: OperationKind, value: UInt64, detail: SIMD4<UInt64>) {
        switch kind {
        case .copy, .xor, .xorValidate, .scatterGather, .null: self = .none
        case .fill: self = .pattern(value)
        case .crc32c, .copyCRC32C: self = .seed(UInt32(truncatingIfNeeded: value))
        // SAFETY: as above: both are 32 bytes of which every bit pattern is valid.
        case .pq, .pqValidate: self = .coefficients(unsafe unsafeBitCast(detail, to: Coefficients.self))
        case .interleaved: self = .template(InterleavedTemplate(words: detail))
        case .cyclic: self = .period(value)
        case .peripheral: self = .place(PeripheralPlace(numberWord: detail[0], positionWord: value))
        case .command:
            // Only the functions of `Operation` make commands, from a case of the type.
            self = .command(
                PeripheralCommand(rawValue: UInt8(truncatingIfNeeded: detail[1])) ?? .flush,
                PeripheralPlace(numberWord: detail[0], positionWord: value),
                to: PeripheralPlace(numberWord: detail[2], positionWord: detail[3]))
        }
    }
}
