// SPDX-License-Identifier: Apache-2.0

/// Any number of cargoes as one: the regions of the first, then those of the second, and so on. The cargo of operations with
/// many sources (XOR, PQ).
public struct CargoList<Element: Cargo & ~Copyable>: ~Copyable, Cargo {
    /// The cargoes. A channel that receives the list owns them with it.
    public var elements: FixedArray<Element>

    /// The number of regions of all cargoes.
    public init(_ elements: consuming FixedArray<Element>) { self.elements = elements }

    /// An empty list with room for `capacity` cargoes.
    public init(capacity: Int) { elements = FixedArray(capacity: capacity) }

    /// Appends a cargo.
    ///
    /// - Returns: nil; or, if there is no room, the cargo.
    public mutating func append(_ element: consuming Element) -> Element? { elements.append(element) }

    public var regionCount: Int {
        var sum = 0
        // A client's own cargo may report any number.
        for index in 0..<elements.count {
            let (total, overflow) = sum.addingReportingOverflow(max(elements.withElement(at: index) { $0.regionCount } ?? 0, 0))
            sum = overflow ? .max : total
        }
        return sum
    }

    @_lifetime(borrow self)
    public func region(at index: Int) -> Region {
        Region(words: words(at: index))
    }

    private func words(at index: Int) -> RegionWords {
        guard index >= 0 else { return .none }
        var left = index
        for place in 0..<elements.count {
            let found = elements.withElement(at: place) { element -> RegionWords? in
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
