// SPDX-License-Identifier: Apache-2.0

/// The words of a region: stored by the mapping that they describe, and lent as a ``Region``.
@usableFromInline @frozen
struct RegionWords: Sendable {
    /// Bus address of the first byte.
    @usableFromInline var start: UInt64
    /// Bytes.
    @usableFromInline var count: UInt64
    /// The domain in the upper half, the access in the lower: one word, so that one comparison checks both.
    @usableFromInline var key: UInt64

    @inlinable
    init(start: UInt64, count: UInt64, key: UInt64) {
        self.start = start
        self.count = count
        self.key = key
    }

    @inlinable
    static func key(_ domain: DomainID, _ access: DeviceAccess) -> UInt64 {
        UInt64(domain.rawValue) << 32 | UInt64(access.rawValue)
    }

    /// An empty range, whose domain number belongs to no domain.
    @inlinable
    static var none: RegionWords { RegionWords(start: 0, count: 0, key: UInt64(UInt32.max) << 32) }

    @inlinable var domain: DomainID { DomainID(rawValue: UInt32(truncatingIfNeeded: key >> 32)) }
    @inlinable var access: DeviceAccess { DeviceAccess(rawValue: UInt8(truncatingIfNeeded: key)) }
}

/// One contiguous range that a device may access, lent by the cargo that owns its mapping.
///
/// It cannot be stored: it ends before the cargo that lent it is moved, changed or ended. It holds no pointer; its addresses
/// are bus addresses.
@frozen
public struct Region: ~Escapable {
    @usableFromInline let words: RegionWords

    /// Bus address of the first byte.
    @inlinable public var start: IOVA { IOVA(words.start) }
    /// Bytes.
    @inlinable public var count: UInt64 { words.count }
    /// The domain of ``start``.
    @inlinable public var domain: DomainID { words.domain }
    /// The device's permissions.
    @inlinable public var access: DeviceAccess { words.access }
    /// The range as words that can be stored. They keep nothing alive.
    @inlinable public var range: MappedRange { MappedRange(words) }
    /// Whether this is ``none``, which a cargo lends for an index that it does not have.
    @inlinable public var isNone: Bool { words.domain.rawValue == .max }

    @inlinable @inline(__always) @_lifetime(immortal)
    init(words: RegionWords) { self.words = words }

    /// Asserts that `start ..< start + count` is mapped for `domain` with `access`, and stays so until `owner` is moved,
    /// changed or ended. The caller vouches for it: with a wrong claim a device overwrites other memory.
    @unsafe @inlinable @_lifetime(borrow owner)
    public init<Owner: ~Copyable>(
        unsafeStart start: IOVA, count: UInt64, domain: DomainID, access: DeviceAccess, owner: borrowing Owner
    ) {
        self.init(words: RegionWords(start: start.rawValue, count: count, key: RegionWords.key(domain, access)))
    }

    /// A part of the region; ``none`` where it does not lie inside, or is empty. It lets a cargo lend one mapping as several
    /// regions.
    ///
    /// - Parameters:
    ///   - offset: bytes into the region.
    ///   - count: bytes.
    @inlinable @_lifetime(copy self)
    public func part(from offset: UInt64, count: UInt64) -> Region {
        guard count > 0, offset <= words.count, count <= words.count &- offset else { return .none }
        return Region(words: RegionWords(start: words.start &+ offset, count: count, key: words.key))
    }

    /// The empty region.
    @inlinable
    public static var none: Region {
        @_lifetime(immortal) get { Region(words: .none) }
    }
}
