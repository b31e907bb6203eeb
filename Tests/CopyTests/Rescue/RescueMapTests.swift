// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Testing

@testable import DMACopy

@Suite("The map of a rescue")
struct RescueMapTests {
    private func parse(_ text: String) throws(RescueMap.Flaw) -> RescueMap? { try RescueMap.parse(Array(text.utf8)) }

    @Test("marks keep the map in order, without gaps, neighbours different, against a model of one state for each byte")
    func model() throws {
        var random = Seeded("rescue map")
        for _ in 0..<200 {
            let size = Int.random(in: 1...40, using: &random)
            var map = RescueMap(size: UInt64(size))
            var states = [RescueMap.State](repeating: .untried, count: size)
            for _ in 0..<30 {
                let start = Int.random(in: 0..<size, using: &random)
                // Also beyond the end, and nothing at all.
                let end = start + Int.random(in: 0...size, using: &random)
                let state = try #require(RescueMap.State.allCases.randomElement(using: &random))
                map.mark(UInt64(start)..<UInt64(end), state)
                for place in start..<max(start, min(end, size)) { states[place] = state }
                #expect((0..<size).map { map.state(at: UInt64($0)) } == states)
                let all = map.all
                #expect(all.first?.range.lowerBound == 0 && all.last?.range.upperBound == UInt64(size))
                for (one, next) in zip(all, all.dropFirst()) {
                    #expect(one.range.upperBound == next.range.lowerBound && one.state != next.state)
                }
                for state in RescueMap.State.allCases {
                    #expect(map.bytes(state) == UInt64(states.count { $0 == state }))
                    #expect(map.areas(state) == all.count { $0.state == state })
                    let place = Int.random(in: 0...size, using: &random)
                    let first = states[place...].firstIndex(of: state)
                    #expect(map.next(state, from: UInt64(place))?.lowerBound == first.map { UInt64($0) })
                    let last = states[..<place].lastIndex(of: state)
                    #expect(map.previous(state, before: UInt64(place))?.upperBound == last.map { UInt64($0 + 1) })
                }
                #expect(map.rescuedEnd == states.lastIndex(of: .rescued).map { UInt64($0 + 1) } ?? 0)
                let missing = states.indices.count { states[$0] != .rescued && ($0 == 0 || states[$0 - 1] == .rescued) }
                #expect(map.missingAreas == missing && map.isWhole == (missing == 0))
                #expect(try RescueMap.parse(map.text()) == map)
            }
        }
    }

    @Test("a map of ddrescue: comments, hexadecimal, decimal and octal numbers, every state and phase, with a pass and without")
    func ddrescue() throws {
        let text = """
            # Mapfile. Created by GNU ddrescue version 1.27
            # Command line: ddrescue -d /dev/fd0 fdimage mapfile
            # current_pos  current_status  current_pass
            0x00120000     ?               1
            #      pos        size  status
            0x00000000  0x00117000  +
            1142784\t512 -   # one sector
            04271000 0x1000 /
            0x00118200  0x00007E00  *
            0x00120000  0x00048000  ?
            """
        let map = try #require(try parse(text))
        #expect(map.size == 0x168000 && map.position == RescueMap.Position(offset: 0x120000, phase: .copying, pass: 1))
        #expect(map.all.map(\.state) == [.rescued, .bad, .unscraped, .untrimmed, .untried])
        #expect(map.all.map(\.range.lowerBound) == [0, 0x117000, 0x117200, 0x118200, 0x120000])
        for (letter, phase) in [
            ("?", RescueMap.Phase.copying), ("*", .trimming), ("/", .scraping), ("-", .retrying), ("+", .finished),
        ] {
            #expect(try parse("0x10 \(letter) 2\n0 16 +")?.position == RescueMap.Position(offset: 16, phase: phase, pass: 2))
            #expect(try parse("0x10 \(letter)\n0 16 +")?.position.pass == 1)
        }
        // Its fill and generate modes are not continued.
        #expect(try parse("0x10 F 2\n0 16 +")?.position == RescueMap.Position())
        // It may begin behind the start of the source, and have areas of no bytes.
        let late = try #require(try parse("0 ? 1\n512 0 -\n512 512 +\n1024 512 +\n"))
        #expect(late.all.map(\.state) == [.untried, .rescued] && late.size == 1536)
        for empty in ["", "\n\n", "# only a comment", "  # and another\n"] { #expect(try parse(empty) == nil) }
    }

    @Test(
        "what is no map is refused, with its line",
        arguments: [
            ("nonsense", 1), ("0 ?", 0), ("0 x 1", 1), ("0 ? 0", 1), ("0 ? 0x1", 1), ("0 ? 1 2", 1), ("-1 ? 1", 1),
            ("0 ? 1\n0 512", 2), ("0 ? 1\n0 512 +\n\n513 1 -", 4), ("0 ? 1\n0 512 +\n511 1 -", 3), ("0 ? 1\n0 512 &", 2),
            ("0 ? 1\n0 512 ++", 2), ("0 ? 1\n0x 512 +", 2), ("0 ? 1\n09 512 +", 2), ("0 ? 1\n0 0x8000000000000000 +", 2),
            ("0 ? 1\n1 0x7fffffffffffffff +", 2), ("0 ? 1\n0 512 + +", 2), ("0 ? 1\n0 5_12 +", 2),
            ("0 ? 99999999999999999999\n", 1), ("0 ? 1\n0 512 +#", 2),
        ])
    func refused(_ text: String, _ line: Int) throws {
        guard line > 0 else {
            // A status line alone is the map of a source without bytes.
            #expect(try parse(text)?.size == 0)
            return
        }
        do throws(RescueMap.Flaw) {
            _ = try parse(text)
            Issue.record("\(text) was taken for a map")
        } catch { #expect(error.line == line && !error.reason.isEmpty) }
    }

    @Test("more areas than a map may have are refused, not kept")
    func tooMany() throws {
        var text = Array("0 ? 1\n".utf8)
        for place in 0...RescueMap.mostAreas { text += "\(place) 1 \(place % 2 == 0 ? "+" : "-")\n".utf8 }
        #expect(throws: RescueMap.Flaw.self) { try RescueMap.parse(text) }
    }

    @Test("comments of a map are lines of their own, whatever the names of source and target are")
    func comments() throws {
        let map = RescueMap(size: 512)
        let text = String(decoding: map.text(comments: ["Source: \(CopyFailure.quoted("a\n0 + 1"))"]), as: UTF8.self)
        #expect(text.contains("# Source: a\\n0 + 1\n"))
        #expect(try parse(text) == map)
    }
}
