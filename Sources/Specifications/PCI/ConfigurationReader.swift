// SPDX-License-Identifier: Apache-2.0

/// Read access to the configuration space of a PCI function.
///
/// The values come from the device: each may be anything, and may differ from one read to the next.
public protocol ConfigurationReader {
    /// Bytes that can be read: 256, or 4096 with extended space.
    var count: Int { get }
    /// The 32 bits at `offset`, a multiple of 4 below ``count``; all ones where no device answers.
    func word(at offset: Int) -> UInt32
}

extension ConfigurationReader {
    /// The 32 bits at `offset`, rounded down to a multiple of 4; all ones outside of the space.
    func checkedWord(_ offset: Int) -> UInt32 {
        guard offset >= 0, offset <= count - 4 else { return .max }
        return word(at: offset & ~3)
    }

    /// The 16 bits at `offset`, rounded down to a multiple of 2; all ones outside of the space.
    public func half(at offset: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: checkedWord(offset & ~3) >> UInt32(8 * (offset & 2)))
    }

    /// The 8 bits at `offset`; all ones outside of the space.
    public func byte(at offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: checkedWord(offset & ~3) >> UInt32(8 * (offset & 3)))
    }

    /// The 64 bits at `offset`, a multiple of 4, by two reads, the lower first; all ones outside of the space.
    func wide(at offset: Int) -> UInt64 {
        let low = UInt64(checkedWord(offset))
        return low | UInt64(checkedWord(offset &+ 4)) << 32
    }
}

/// A configuration space that was read before: a file of sysfs, a dump, an input of a fuzzer.
public struct ConfigurationBytes: ConfigurationReader, Sendable {
    private let bytes: [UInt8]

    /// The first 4096 bytes of `bytes`, in the order of the space: lowest byte of a word first.
    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix(4096)) }

    /// Whole words of what there is.
    public var count: Int { bytes.count & ~3 }

    public func word(at offset: Int) -> UInt32 {
        guard offset >= 0, offset <= bytes.count - 4 else { return .max }
        return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
}

/// What is wrong with a configuration space.
public enum ConfigurationError: Error, Equatable, Sendable {
    /// No device answers: all ones, or a vendor ID that no device has.
    case absent
    /// The function is another kind than was asked about: its header's type.
    case headerType(UInt8)
    /// A list comes back to an entry that it had before.
    case listLoops(at: Int)
    /// A pointer of a list leads to where no entry can be.
    case listLeaves(from: Int, to: Int)
    /// A structure does not fit between its beginning and the end of the space.
    case truncated(at: Int)
    /// A base address register says what the specification forbids.
    case badBaseAddress(index: Int, mask: UInt64)
    /// A field of the structure at an offset holds what the specification forbids.
    case badField(at: Int, value: UInt64)
}

extension ConfigurationError: CustomStringConvertible {
    public var description: String {
        func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
        let cure = "reset the device, or leave it alone: its configuration space cannot be trusted"
        return switch self {
        case .absent: "no device answers there; name a slot that has one, or wait until its reset is over"
        case .headerType(let type): "the function has a header of type \(type), which is not the kind that was asked for"
        case .listLoops(let offset): "the list of capabilities comes back to \(hex(offset)); \(cure)"
        case .listLeaves(let from, let to):
            "the list of capabilities leads from \(hex(from)) to \(hex(to)), where no capability can be; \(cure)"
        case .truncated(let offset): "the structure at \(hex(offset)) does not fit into the space; \(cure)"
        case .badBaseAddress(let index, let mask): "base address register \(index) decodes \(hex(mask)); \(cure)"
        case .badField(let offset, let value): "the field at \(hex(offset)) holds \(hex(value)); \(cure)"
        }
    }
}
