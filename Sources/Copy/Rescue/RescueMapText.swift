// SPDX-License-Identifier: Apache-2.0

// The map file of GNU ddrescue. Source: its manual, version 1.27, "Mapfile structure": comments, which start with # at the start of a line
// or after white space; a status line of a position, a status character and a pass; a line of position, size and status character for each
// area. Numbers are written as C++ writes integer constants: decimal, hexadecimal or octal.

extension RescueMap {
    /// Areas of a map at most: bounds what a source with many bad sectors, or a file that is no map, makes of memory.
    package static let mostAreas = 1 << 20
    /// Bytes of a map file at most: lines of `mostAreas`, as ddrescue writes them, and room for comments.
    package static let largestText = 64 << 20

    /// Why a text is no map.
    package struct Flaw: Error, Equatable {
        /// Of the text, from 1.
        package let line: Int
        package let reason: String
    }

    /// Reads a map file. nil for one without a status line: an empty file, or comments alone.
    ///
    /// Bytes before the first area count as untried, as ddrescue has it. A map of ddrescue's fill or generate mode starts again with
    /// copying.
    package static func parse(_ text: [UInt8]) throws(Flaw) -> RescueMap? {
        guard text.count <= largestText else { throw Flaw(line: 1, reason: "it has more than \(largestText >> 20) MiB") }
        var position: Position?
        var areas: [Area] = []
        var end: UInt64 = 0
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let fields = fields(line)
            if fields.isEmpty { continue }
            guard position != nil else {
                position = try status(fields, number)
                continue
            }
            guard fields.count == 3, let start = integer(fields[0]), let count = integer(fields[1]),
                fields[2].count == 1, let state = State(rawValue: fields[2].first ?? 0)
            else { throw Flaw(line: number, reason: "it is not a position, a size and one of the characters ? * / - +") }
            guard start == end || areas.isEmpty else {
                throw Flaw(line: number, reason: "its area starts at \(start), and the one before it ends at \(end)")
            }
            guard count <= UInt64(Int64.max) - start else { throw Flaw(line: number, reason: "its area ends beyond 8 EiB") }
            if areas.isEmpty, start > 0 { areas.append(Area(start: 0, state: .untried)) }
            end = start + count
            if count > 0, areas.last?.state != state { areas.append(Area(start: start, state: state)) }
            guard areas.count <= mostAreas else { throw Flaw(line: number, reason: "it has more than \(mostAreas) areas") }
        }
        return position.map { RescueMap(size: end, areas: areas, position: $0) }
    }

    private static func status(_ fields: [ArraySlice<UInt8>], _ line: Int) throws(Flaw) -> Position {
        let flaw = Flaw(
            line: line, reason: "it is not a position, one of the characters ? * / - + F G and the number of a pass")
        guard fields.count == 2 || fields.count == 3, let offset = integer(fields[0]), fields[1].count == 1,
            let letter = fields[1].first
        else { throw flaw }
        // Map files of versions before 1.20 have no pass.
        var pass: UInt64 = 1
        if fields.count == 3 {
            guard let given = integer(fields[2], decimalOnly: true), (1...0x7fff_ffff).contains(given) else { throw flaw }
            pass = given
        }
        if let phase = Phase(rawValue: letter) { return Position(offset: offset, phase: phase, pass: Int(pass)) }
        guard letter == UInt8(ascii: "F") || letter == UInt8(ascii: "G") else { throw flaw }
        return Position()
    }

    /// The words of a line, without its comment.
    private static func fields(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
        let words = line.split(whereSeparator: isSpace)
        guard let comment = words.firstIndex(where: { $0.first == UInt8(ascii: "#") }) else { return words }
        return Array(words[..<comment])
    }

    /// An integer constant below 2^63.
    private static func integer(_ word: ArraySlice<UInt8>, decimalOnly: Bool = false) -> UInt64? {
        var (digits, radix) = (word, 10 as UInt64)
        if !decimalOnly, word.count > 1, word.first == UInt8(ascii: "0") {
            let isHexadecimal = word[word.startIndex + 1] | 0x20 == UInt8(ascii: "x")
            (digits, radix) = (word.dropFirst(isHexadecimal ? 2 : 1), isHexadecimal ? 16 : 8)
        }
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            let digit: UInt64
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = UInt64(byte - UInt8(ascii: "a")) + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = UInt64(byte - UInt8(ascii: "A")) + 10
            default: return nil
            }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: radix)
            guard digit < radix, !overflow, scaled <= UInt64(Int64.max) - digit else { return nil }
            value = scaled + digit
        }
        return value
    }

    /// The map file, as ddrescue reads it.
    ///
    /// - Parameter comments: lines for people, without a newline.
    package func text(comments: [String] = []) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(256 + count * 32)
        for line in ["Mapfile. Created by swift-dma"] + comments { text += "# \(line)\n".utf8 }
        text += "# current_pos  current_status  current_pass\n".utf8
        Self.append(position.offset, to: &text)
        text += "     ".utf8
        text.append(position.phase.rawValue)
        text += "               \(position.pass)\n#      pos        size  status\n".utf8
        for area in all {
            Self.append(area.range.lowerBound, to: &text)
            text += "  ".utf8
            Self.append(UInt64(area.range.count), to: &text)
            text += "  ".utf8
            text.append(area.state.rawValue)
            text.append(UInt8(ascii: "\n"))
        }
        return text
    }

    /// A number as `0x` and eight hexadecimal digits or more.
    private static func append(_ value: UInt64, to text: inout [UInt8]) {
        text += "0x".utf8
        for shift in stride(from: 60, through: 0, by: -4) where shift < 32 || value >> UInt64(shift) != 0 {
            let digit = UInt8(value >> UInt64(shift) & 15)
            text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10)
        }
    }
}
