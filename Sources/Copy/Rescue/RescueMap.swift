// SPDX-License-Identifier: Apache-2.0

/// Which bytes of a source have been rescued, in the states that GNU ddrescue gives to areas, and how far the rescue is.
///
/// The areas cover the source from byte 0 to its end without gaps; neighbours have different states. Not thread-safe: a value.
///
/// Source: GNU ddrescue manual 1.27, "Algorithm" and "Mapfile structure".
package struct RescueMap: Equatable, Sendable {
    /// The state of an area. The raw value is the character in the map file.
    package enum State: UInt8, Sendable, CaseIterable {
        /// Not read yet.
        case untried = 0x3f  // ?
        /// A read of a large block that includes the area failed.
        case untrimmed = 0x2a  // *
        /// Lies between the bad sectors that trimming found; its sectors have not been read one by one.
        case unscraped = 0x2f  // /
        /// A sector that could not be read, or several.
        case bad = 0x2d  // -
        /// Read, and written to the target.
        case rescued = 0x2b  // +
    }

    /// What the rescue is doing. The raw value is the character in the map file's status line.
    package enum Phase: UInt8, Sendable, CaseIterable {
        /// Reads untried areas in large blocks.
        case copying = 0x3f
        /// Reads failed blocks from both edges to their first bad sectors.
        case trimming = 0x2a
        /// Reads what trimming left, sector by sector.
        case scraping = 0x2f
        /// Reads bad sectors again.
        case retrying = 0x2d
        /// Has ended.
        case finished = 0x2b
    }

    /// Where the rescue is: what the status line of the map file holds.
    package struct Position: Equatable, Sendable {
        /// The start of the block that is being read in a forward pass, the end of it in a backward pass. Bytes from the start of the source.
        package var offset: UInt64 = 0
        package var phase = Phase.copying
        /// Of the phase, from 1.
        package var pass = 1
    }

    struct Area: Equatable {
        var start: UInt64
        var state: State
    }

    /// Bytes of the source.
    package let size: UInt64
    package var position = Position()
    /// In the order of their starts; the first starts at 0, each ends where the next one starts.
    private var areas: [Area]
    /// Bytes of each state, also of those that no area has: equal maps have equal sums.
    private var bytes: [State: UInt64]
    private static let none = Dictionary(uniqueKeysWithValues: State.allCases.map { ($0, 0 as UInt64) })

    /// A map of `size` bytes, none of them tried.
    package init(size: UInt64) {
        self.size = size
        areas = size > 0 ? [Area(start: 0, state: .untried)] : []
        bytes = Self.none
        bytes[.untried] = size
    }

    /// - Parameter areas: in order, each with another state than the one before; the first starts at 0, the last below `size`.
    init(size: UInt64, areas: [Area], position: Position) {
        self.size = size
        self.areas = areas
        self.position = position
        bytes = Self.none
        for index in areas.indices { bytes[areas[index].state, default: 0] += end(index) - areas[index].start }
    }

    /// How many areas there are, of all states.
    package var count: Int { areas.count }

    /// Bytes in areas of this state.
    package func bytes(_ state: State) -> UInt64 { bytes[state] ?? 0 }

    /// How many areas have this state.
    package func areas(_ state: State) -> Int { areas.count { $0.state == state } }

    /// How many areas without a gap the bytes are that have not been rescued.
    package var missingAreas: Int {
        areas.indices.count { areas[$0].state != .rescued && ($0 == 0 || areas[$0 - 1].state == .rescued) }
    }

    /// Whether every byte has been rescued.
    package var isWhole: Bool { bytes(.rescued) == size }

    /// The end of the last rescued area; 0 if there is none.
    package var rescuedEnd: UInt64 {
        areas.indices.last { areas[$0].state == .rescued }.map(end) ?? 0
    }

    /// The areas in order.
    package var all: [(range: Range<UInt64>, state: State)] {
        areas.indices.map { (areas[$0].start..<end($0), areas[$0].state) }
    }

    /// The state of the byte at `offset`; nil beyond the end.
    package func state(at offset: UInt64) -> State? { offset < size ? areas[index(of: offset)].state : nil }

    /// The first area of this state that ends after `offset`, without what precedes `offset`.
    package func next(_ state: State, from offset: UInt64) -> Range<UInt64>? {
        guard offset < size else { return nil }
        for index in index(of: offset)..<areas.count where areas[index].state == state {
            return max(areas[index].start, offset)..<end(index)
        }
        return nil
    }

    /// The last area of this state that starts before `offset`, without what follows `offset`.
    package func previous(_ state: State, before offset: UInt64) -> Range<UInt64>? {
        guard offset > 0, size > 0 else { return nil }
        for index in (0...index(of: min(offset, size) - 1)).reversed() where areas[index].state == state {
            return areas[index].start..<min(end(index), offset)
        }
        return nil
    }

    /// Gives the bytes of `range` a state. Bytes beyond the end are ignored.
    package mutating func mark(_ range: Range<UInt64>, _ state: State) {
        let (start, stop) = (range.lowerBound, min(range.upperBound, size))
        guard start < stop else { return }
        var (first, last) = (index(of: start), index(of: stop - 1))
        for index in first...last {
            bytes[areas[index].state, default: 0] -= min(end(index), stop) - max(areas[index].start, start)
        }
        bytes[state, default: 0] += stop - start
        var fresh: [Area] = []
        func append(_ area: Area) { if fresh.last?.state != area.state { fresh.append(area) } }
        if first > 0, areas[first].start == start { first -= 1 }
        if areas[first].start < start { append(areas[first]) }
        append(Area(start: start, state: state))
        if end(last) > stop {
            append(Area(start: stop, state: areas[last].state))
        } else if last + 1 < areas.count {
            last += 1
            append(areas[last])
        }
        areas.replaceSubrange(first...last, with: fresh)
    }

    private func end(_ index: Int) -> UInt64 { index + 1 < areas.count ? areas[index + 1].start : size }

    /// The area that holds the byte at `offset`, which is below the size.
    private func index(of offset: UInt64) -> Int {
        var (low, high) = (0, areas.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if areas[middle].start <= offset { low = middle } else { high = middle }
        }
        return low
    }
}
