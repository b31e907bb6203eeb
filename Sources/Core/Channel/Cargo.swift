// SPDX-License-Identifier: Apache-2.0

/// The memory that a transaction owns while the device works on it: a mapped buffer, a leased block, a pair of them, a scatter
/// list, or the client's own struct or enum of these.
///
/// A channel keeps the cargo from submission until the completion is taken. An ``Operation`` names places in the cargo (a
/// region's number and an offset), never addresses, so that every address passed to a device was checked against memory that
/// the transaction owns.
///
/// A conforming type forwards regions of values that it owns. No conformance can free memory under a running device: a region
/// cannot outlive the cargo that lends it, and where a device cannot be stopped, the channel moves the whole cargo to the
/// ``Quarantine``.
public protocol Cargo: ~Copyable, Sendable {
    /// The number of regions.
    var regionCount: Int { get }

    /// Lends region `index`, or ``Region/none`` where that number does not exist. Never traps.
    @_lifetime(borrow self)
    func region(at index: Int) -> Region

    /// Lends all regions as one list that was checked when it was made, or ``RegionList/none``, the default. The regions are
    /// those of ``region(at:)``, in the same order.
    var regionList: RegionList { @_lifetime(borrow self) get }
}

/// Two cargoes as one: the regions of the first, then those of the second. Pairs can be nested.
@frozen
public struct Pair<First: Cargo & ~Copyable, Second: Cargo & ~Copyable>: ~Copyable, Cargo {
    /// The cargo whose regions come first: the source, in a copy.
    public var first: First
    /// The cargo whose regions come second: the destination, in a copy.
    public var second: Second

    /// The pair of two cargoes.
    @inlinable
    public init(_ first: consuming First, _ second: consuming Second) {
        self.first = first
        self.second = second
    }

    @inlinable
    public var regionCount: Int { first.regionCount &+ second.regionCount }

    @inlinable
    @_lifetime(borrow self)
    public func region(at index: Int) -> Region {
        let split = first.regionCount
        if index < split { return first.region(at: index) }
        return second.region(at: index &- split)
    }
}

/// The cargo of a transaction that uses no memory.
@frozen
public struct NoCargo: ~Copyable, Cargo {
    /// An empty cargo.
    @inlinable public init() {}
    @inlinable public var regionCount: Int { 0 }
    @inlinable
    @_lifetime(borrow self)
    public func region(at index: Int) -> Region { .none }
}
