// SPDX-License-Identifier: Apache-2.0

/// The mappings of this process, from /proc/self/maps.
///
/// Used to find low addresses for devices with narrow masks, and by the sanitizer to check an address. The file is untrusted
/// input: its length is bounded, and a malformed line ends the parsing.
package struct ProcessMaps {
    package struct Range: Equatable {
        package var start: UInt64
        package var end: UInt64
        var isWritable: Bool
        var isExecutable: Bool
    }

    /// In ascending order, without overlap.
    package let ranges: [Range]

    /// 4 MiB of text are about 40,000 mappings; the kernel's default limit is 65,530.
    static let capacity = 4 << 20

    /// Nil where /proc is not mounted or the file does not end within the bound.
    ///
    /// The kernel produces the file page by page. If another thread changes mappings between two pages, the ranges can overlap;
    /// the parser rejects that, and the file is read again.
    static func current() -> ProcessMaps? { current { ProcessFile.read("/proc/self/maps", capacity: capacity) } }

    static func current(_ read: () -> [UInt8]?) -> ProcessMaps? {
        for _ in 0..<64 {
            guard let text = read(), text.count < capacity else { return nil }
            if let maps = ProcessMaps(parsing: text) { return maps }
        }
        return nil
    }

    package init?(parsing text: [UInt8]) {
        var ranges: [Range] = []
        var last: UInt64 = 0
        for line in text.split(separator: UInt8(ascii: "\n")) {
            guard let range = Self.parse(line), range.start >= last, range.end > range.start else { return nil }
            ranges.append(range)
            last = range.end
        }
        self.ranges = ranges
    }

    /// `start-end rwxp …`, both numbers hexadecimal.
    private static func parse(_ line: ArraySlice<UInt8>) -> Range? {
        var position = line.startIndex
        func number(endingWith terminator: UInt8) -> UInt64? {
            var value: UInt64 = 0
            var digits = 0
            while position < line.endIndex, line[position] != terminator {
                guard digits < 16, let digit = Self.hexadecimal(line[position]) else { return nil }
                value = value << 4 | digit
                digits += 1
                position += 1
            }
            guard digits > 0, position < line.endIndex else { return nil }
            position += 1
            return value
        }
        guard let start = number(endingWith: UInt8(ascii: "-")), let end = number(endingWith: UInt8(ascii: " ")),
            position + 2 < line.endIndex
        else { return nil }
        return Range(
            start: start, end: end, isWritable: line[position + 1] == UInt8(ascii: "w"),
            isExecutable: line[position + 2] == UInt8(ascii: "x"))
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
        default: nil
        }
    }

    /// Start addresses at which `length` bytes fit into a gap and end at or below `highest` (inclusive), the highest first: low
    /// addresses are left for narrower masks.
    ///
    /// - Parameter alignment: a power of two, at least the page size.
    package func gaps(of length: UInt64, alignment: UInt64, highest: UInt64) -> [UInt64] {
        // vm.mmap_min_addr of every distribution; the kernel refuses lower addresses.
        var floor: UInt64 = 0x10000
        var found: [UInt64] = []
        func consider(until end: UInt64) {
            let (ceiling, overflow) = highest.addingReportingOverflow(1)
            let top = overflow ? end : min(end, ceiling)
            guard top >= length else { return }
            let start = (top - length) & ~(alignment - 1)
            if start >= floor { found.append(start) }
        }
        for range in ranges where floor <= highest {
            if range.start > floor { consider(until: range.start) }
            floor = max(floor, range.end)
        }
        // Above the last range lies the kernel's half; user space ends below 2^47 on every target with 4-level tables.
        if floor <= highest { consider(until: 1 << 46) }
        return found.reversed()
    }

    /// The ranges that overlap `start ..< end`, or nil where part of it is not mapped.
    package func covering(_ start: UInt64, _ end: UInt64) -> ArraySlice<Range>? {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].end <= start { low = middle + 1 } else { high = middle }
        }
        let first = low
        var reached = start
        while reached < end {
            guard low < ranges.count, ranges[low].start <= reached else { return nil }
            reached = ranges[low].end
            low += 1
        }
        return ranges[first..<low]
    }
}
