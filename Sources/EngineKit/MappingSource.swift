// SPDX-License-Identifier: Apache-2.0

/// The memory behind a mapping, as a backend receives it: where the bytes are, and which file they belong to.
///
/// The memory of one `map` call has one source: ranges of different files, or of a file and of anonymous memory, are never
/// merged.
@frozen
public struct MappingSource: Hashable, Sendable {
    /// The kind of memory.
    @frozen
    public enum Kind: UInt8, Sendable {
        /// Memory of this process without a file behind it.
        case memory
        /// A file that is mapped in this process: a memfd, a file of hugetlbfs.
        case file
        /// A dma-buf.
        case dmaBuffer
        /// A range of another device's bus addresses, such as a controller memory buffer or a BAR. The CPU does not reach it
        /// through this mapping.
        case device
    }

    /// The kind, and the descriptor in the upper half: one word, because a list passes one to the backend for each run.
    @usableFromInline
    let word: UInt64

    /// The kind of memory.
    @inlinable
    public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: word)) ?? .memory }

    /// The file or dma-buf, lent for the duration of the call; -1 where there is none.
    @inlinable
    public var descriptor: Int32 { Int32(truncatingIfNeeded: word >> 32) }

    /// The first byte's address in this process; 0 where the memory is not mapped here.
    public let address: UInt64
    /// The first byte's offset in the file or dma-buf, or its bus address on the other device. Bytes.
    public let offset: UInt64

    /// Only this package makes sources, because backends trust their content.
    @inlinable @inline(__always)
    package init(kind: Kind, descriptor: Int32 = -1, address: UInt64 = 0, offset: UInt64 = 0) {
        self.init(word: Self.word(kind, descriptor), address: address, offset: offset)
    }

    /// - Parameter word: from ``word(_:_:)``.
    @inlinable @inline(__always)
    package init(word: UInt64, address: UInt64, offset: UInt64) {
        self.word = word
        self.address = address
        self.offset = offset
    }

    /// The kind and the descriptor as one word.
    @inlinable @inline(__always)
    package static func word(_ kind: Kind, _ descriptor: Int32) -> UInt64 {
        UInt64(kind.rawValue) | UInt64(UInt32(bitPattern: descriptor)) << 32
    }

    /// The source of the bytes from offset `count` on.
    package func advanced(by count: UInt64) -> MappingSource {
        MappingSource(
            kind: kind, descriptor: descriptor, address: address == 0 ? 0 : address &+ count,
            offset: kind == .memory ? 0 : offset &+ count)
    }
}

/// What a backend requires of the memory that it maps.
public struct SourceNeeds: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The memory has a file or dma-buf, which can be sent to a peer. Coherent and bounce memory of the address space is
    /// allocated that way.
    public static let descriptor = SourceNeeds(rawValue: 1)
}
