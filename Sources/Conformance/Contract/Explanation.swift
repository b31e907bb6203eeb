// SPDX-License-Identifier: Apache-2.0

/// What one name means that a program of this package prints: a rule of the contract, a code of an error, an identifier of the sanitizer.
package struct Explanation: Hashable, Sendable, Encodable {
    /// What a name is a name of. Raw values are stable.
    package enum Kind: String, Hashable, Sendable, Encodable, CaseIterable {
        case rule
        case error
        case sanitizer
        case engineFault
        case status
        case check
        case copyFailure
        case exitCode
    }

    /// As it is printed: "rule38", "misaligned", "DMA-S07".
    package let name: String
    /// Other spellings that find it.
    package let aliases: [String]
    /// What it is a name of.
    package let kind: Kind
    /// In a few words.
    package let title: String
    /// What it says.
    package let meaning: String
    /// What brings it about.
    package let example: String
    /// What to change.
    package let cure: String
    /// The rules of the contract concerned.
    package let rules: [Int]

    package init(
        _ name: String, aliases: [String] = [], _ kind: Kind, title: String, meaning: String, example: String, cure: String,
        rules: [Int] = []
    ) {
        self.name = name
        self.aliases = aliases
        self.kind = kind
        self.title = title
        self.meaning = meaning
        self.example = example
        self.cure = cure
        self.rules = rules
    }
}

extension Explanation.Kind {
    /// For a heading.
    package var title: String {
        switch self {
        case .rule: "rule of the contract"
        case .error: "code of DMAError"
        case .sanitizer: "finding of the sanitizer"
        case .engineFault: "counter of EngineFaults"
        case .status: "status of a transaction"
        case .check: "check of the conformance suite"
        case .copyFailure: "code of CopyFailure"
        case .exitCode: "exit code of dmactl"
        }
    }
}

/// Everything that can be looked up, from one source: the guide's article is made of it, and `dmactl explain` prints it.
package struct Glossary: Sendable {
    /// In the order of the kinds, and within each in that of its codes.
    package let all: [Explanation]

    /// - Parameter others: what other modules print, beside what this one knows.
    package init(_ others: [Explanation] = []) {
        let known =
            Explanation.rules + Explanation.errors + Explanation.sanitizer + Explanation.engineFaults + Explanation.statuses
            + Explanation.checks + others
        all = Explanation.Kind.allCases.flatMap { kind in known.filter { $0.kind == kind } }
    }

    /// Everything that bears a name, whatever the case of its letters; a code of one kind may be one of another kind too.
    package func find(_ name: String) -> [Explanation] {
        let name = name.lowercased()
        return all.filter { $0.name.lowercased() == name || $0.aliases.contains { $0.lowercased() == name } }
    }

    /// The names that are most like one that nothing bears, the nearest first.
    package func nearest(_ name: String, _ count: Int = 3) -> [String] {
        let name = name.lowercased()
        var best: [String: Int] = [:]
        for entry in all {
            for word in [entry.name] + entry.aliases {
                let word = word.lowercased()
                // A part that was typed right counts for more than letters that happen to stand in the same places.
                let isPart = name.count > 2 && (word.contains(name) || name.contains(word))
                let distance = isPart ? 1 : Glossary.distance(Array(name.utf8), Array(word.utf8))
                best[entry.name] = min(best[entry.name] ?? .max, distance)
            }
        }
        return best.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(count).map(\.key)
    }

    /// Letters to be put in, left out or exchanged, to make one word of the other: Levenshtein's distance.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var corner = row[0]
            row[0] = index + 1
            for place in right.indices {
                let above = row[place + 1]
                row[place + 1] = min(above + 1, row[place] + 1, corner + (letter == right[place] ? 0 : 1))
                corner = above
            }
        }
        return row[right.count]
    }
}
