// SPDX-License-Identifier: Apache-2.0

import DMAFuzz
import Foundation

/// Inputs of one entry, derived from a seed. Another process runs them, so that the input of a trap is known and can be
/// repeated.
struct Generator {
    private let entry: FuzzEntry
    private let seed: UInt64
    private let corpus: [[UInt8]]

    /// - Parameter corpus: whether inputs are also made by mutating those of the committed corpus.
    init(_ entry: FuzzEntry, corpus: Bool, seed: UInt64) {
        self.entry = entry
        self.seed = seed
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Corpus/\(entry.name)")
        let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        self.corpus =
            corpus
            ? files.sorted { $0.path < $1.path }.compactMap { try? Data(contentsOf: $0) }.map { [UInt8]($0) } : []
    }

    /// Input `number`: random bytes, or one of the corpus with some bytes changed.
    func input(_ number: UInt64) -> [UInt8] {
        if number < UInt64(corpus.count) { return corpus[Int(number)] }
        var random = ProgramRandom(seed: seed ^ number &* 0x2545_f491_4f6c_dd1d)
        guard !corpus.isEmpty, number % 8 != 0, number % 4 == 1 || !entry.isProgram else {
            return random.bytes(Int(random.next() % UInt64(entry.length)))
        }
        var bytes = corpus[Int(random.next() % UInt64(corpus.count))]
        for _ in 0...(random.next() % 6) { change(&bytes, &random) }
        return bytes
    }

    private func change(_ bytes: inout [UInt8], _ random: inout ProgramRandom) {
        func place(_ count: Int) -> Int { count == 0 ? 0 : Int(random.next() % UInt64(count)) }
        let interesting: [String] = [
            "-1", "0", "18446744073709551615", "18446744073709551616", "9223372036854775808", "1e308", "nan", "\u{0}", "[[[[",
            "{{",
            "\"", "\n", ":", ",", "é", "\u{202e}",
        ]
        switch random.next() % 6 {
        case 0 where !bytes.isEmpty: bytes[place(bytes.count)] ^= 1 << UInt8(random.next() % 8)
        case 1 where !bytes.isEmpty: bytes[place(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        case 2 where !bytes.isEmpty:
            let start = place(bytes.count)
            bytes.removeSubrange(start..<min(start + 1 + place(32), bytes.count))
        case 3: bytes.insert(contentsOf: interesting[place(interesting.count)].utf8, at: place(bytes.count + 1))
        case 4 where !bytes.isEmpty:
            let start = place(bytes.count)
            let piece = Array(bytes[start..<min(start + 1 + place(64), bytes.count)])
            bytes.insert(contentsOf: piece, at: place(bytes.count + 1))
        default:
            guard let other = corpus.randomElement(using: &random), !other.isEmpty else { return }
            let start = place(other.count)
            bytes.replaceSubrange(place(bytes.count + 1)..<bytes.count, with: other[start...])
        }
    }

    // MARK: The process that runs them

    /// Runs inputs from number `first` on until that many steps are done; announces each before it runs, for the process that
    /// watches for traps.
    func run(from first: UInt64, steps: UInt64, only length: Int?) -> Int32 {
        var done: UInt64 = 0
        var number = first
        while done < steps {
            print("input \(number)")
            fflush(nil)
            var bytes = input(number)
            if let length { bytes = Array(bytes.prefix(length)) }
            let outcome = entry.run(bytes)
            done += UInt64(max(outcome.steps, 1))
            if let failure = outcome.failure {
                // On one line, whatever the input contains.
                print("failure \(outcome.length) \(failure.debugDescription)")
                fflush(nil)
                return 1
            }
            if length != nil { break }
            number += 1
        }
        print("done \(done) \(number - first)")
        return 0
    }

    // MARK: The process that watches

    /// Runs that many steps in a child. 0 where nothing was found.
    func supervise(steps: UInt64) -> Int32 {
        let began = Date()
        let found = child(["--steps", String(steps)])
        let (code, lines) = (found.code, found.lines)
        let fields = (lines.last ?? "").split(separator: " ")
        if code == 0, fields.first == "done", fields.count == 3 {
            print(
                "\(entry.name): \(fields[1]) steps of \(fields[2]) inputs, seed \(seed), \(Int(Date().timeIntervalSince(began))) s"
            )
            return 0
        }
        guard let number = lines.last(where: { $0.hasPrefix("input ") }).flatMap({ UInt64($0.dropFirst(6)) }) else {
            print("\(entry.name): the child ended with \(code) before the first input")
            return 1
        }
        var length = input(number).count
        var what = "ended with \(code)"
        if fields.first == "failure", fields.count > 2, let read = Int(fields[1]) {
            length = min(length, read)
            what = fields.dropFirst(2).joined(separator: " ")
        } else {
            length = shortest(number, length)
        }
        let file = "fuzz-\(entry.name)-\(seed)-\(number)"
        try? Data(input(number).prefix(length)).write(to: URL(filePath: file))
        print("\(entry.name): seed \(seed), input \(number): \(what)")
        print("the shortest prefix that does it has \(length) bytes and is in \(file): dma-fuzz replay \(entry.name) \(file)")
        return 1
    }

    /// The shortest prefix of an input that still ends the child: bytes read later have no effect on what went before.
    private func shortest(_ number: UInt64, _ length: Int) -> Int {
        var (low, high) = (0, length)
        while low < high {
            let middle = (low + high) / 2
            if child(["--from", String(number), "--length", String(middle)]).code == 0 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return high
    }

    private func child(_ arguments: [String]) -> Child { Child(["child", entry.name, "--seed", String(seed)] + arguments) }
}
