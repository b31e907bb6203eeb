// SPDX-License-Identifier: Apache-2.0

/// Any number of cargoes as one: the regions of the first, then those of the second, and so on. What an operation with many
/// sources (XOR, PQ) takes.
///
/// The list notes what its regions have in common as cargoes are added, so that a channel checks an operation over all of them at once
/// (``regionList``): where all are of one address space and permit the same, and there are no more regions than it has room for cargoes.
@frozen
public struct CargoList<Element: Cargo & ~Copyable>: ~Copyable, Cargo {
    @usableFromInline var storage: FixedArray<Element>
    @usableFromInline let lists: RegionLists
    /// Whether `lists` has every region of every cargo.
    @usableFromInline var isListed: Bool

    /// The regions of all of them, one after the other.
    public init(_ elements: consuming FixedArray<Element>) {
        storage = elements
        lists = RegionLists(capacity: max(storage.capacity, 1))
        isListed = false
        survey()
    }

    /// An empty list with room for `capacity` cargoes.
    public init(capacity: Int) {
        storage = FixedArray(capacity: capacity)
        // What there was memory for.
        lists = RegionLists(capacity: max(storage.capacity, 1))
        isListed = true
    }

    /// The cargoes. A channel that is given the list owns them with it. Changing one, or their number, is O(n): all regions are looked at
    /// again.
    public var elements: FixedArray<Element> {
        _read { yield storage }
        _modify {
            defer { survey() }
            yield &storage
        }
    }

    /// Adds a cargo at the end.
    ///
    /// - Returns: nil; or, if there is no room, the cargo.
    public mutating func append(_ element: consuming Element) -> Element? {
        if storage.count < storage.capacity { note(element) }
        return storage.append(element)
    }

    public var regionCount: Int {
        var sum = 0
        // A client's own cargo may say any number.
        for index in 0..<storage.count {
            let (total, overflow) = sum.addingReportingOverflow(max(storage.withElement(at: index) { $0.regionCount } ?? 0, 0))
            sum = overflow ? .max : total
        }
        return sum
    }

    @_lifetime(borrow self)
    public func region(at index: Int) -> Region {
        Region(words: words(at: index))
    }

    @inlinable
    public var regionList: RegionList {
        // SAFETY: the list and its facts belong to this value, which is borrowed. The cargoes that lent the regions do too: they are changed
        // through `elements` alone, after which all are looked at again.
        @_lifetime(borrow self) get { isListed ? unsafe RegionList(segments: lists.segments, facts: lists.facts) : .none }
    }

    /// Adds the regions of the cargo that comes last to the list.
    private mutating func note(_ element: borrowing Element) {
        if isListed { isListed = Self.note(element, in: lists) }
    }

    /// Whether all regions of a cargo, which says how many it has, went into the list.
    private static func note(_ element: borrowing Element, in lists: borrowing RegionLists) -> Bool {
        var index = 0
        while index < element.regionCount {
            guard lists.append(element.region(at: index).words) else { return false }
            index += 1
        }
        return true
    }

    /// Looks at the regions of all cargoes again.
    private mutating func survey() {
        lists.removeAll()
        var isListed = true
        for index in 0..<storage.count {
            guard isListed else { break }
            isListed = storage.withElement(at: index) { Self.note($0, in: lists) } ?? false
        }
        self.isListed = isListed
    }

    private func words(at index: Int) -> RegionWords {
        guard index >= 0 else { return .none }
        var left = index
        for place in 0..<storage.count {
            let found = storage.withElement(at: place) { element -> RegionWords? in
                let count = max(element.regionCount, 0)
                if left < count { return element.region(at: left).words }
                left -= count
                return nil
            }
            if let found, let words = found { return words }
        }
        return .none
    }
}
