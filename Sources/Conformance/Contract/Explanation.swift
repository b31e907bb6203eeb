// SPDX-License-Identifier: Apache-2.0

/// The explanation of a name that a program of this package prints: a rule of the contract, a code of an error, an identifier
/// of the sanitizer.
package struct Explanation: Hashable, Sendable, Encodable {
    /// The kind of a name. Raw values are stable.
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

    /// The name as it is printed: "rule38", "misaligned", "DMA-S07".
    package let name: String
    /// Other accepted spellings.
    package let aliases: [String]
    /// The kind of the name.
    package let kind: Kind
    /// A short title.
    package let title: String
    /// The meaning.
    package let meaning: String
    /// A typical cause.
    package let example: String
    /// The cure.
    package let cure: String
    /// The related rules of the contract.
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
    /// The heading of the kind.
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

/// All explanations, from one source: the guide's article is generated from it, and `dmactl explain` prints it.
package struct Glossary: Sendable {
    /// Sorted by kind, and within each in the order of its codes.
    package let all: [Explanation]

    /// - Parameter others: names that other modules print, in addition to those of this one.
    package init(_ others: [Explanation] = []) {
        let known =
            Explanation.rules + Explanation.errors + Explanation.sanitizer + Explanation.engineFaults + Explanation.statuses
            + Explanation.checks + others
        all = Explanation.Kind.allCases.flatMap { kind in known.filter { $0.kind == kind } }
    }

    /// All entries with a name, ignoring case; the same name may be used by several kinds.
    package func find(_ name: String) -> [Explanation] {
        let name = name.lowercased()
        return all.filter { $0.name.lowercased() == name || $0.aliases.contains { $0.lowercased() == name } }
    }

    /// The names most similar to an unknown one, the nearest first.
    package func nearest(_ name: String, _ count: Int = 3) -> [String] {
        let name = name.lowercased()
        var best: [String: Int] = [:]
        for entry in all {
            for word in [entry.name] + entry.aliases {
                let word = word.lowercased()
                // A correct part of a name counts for more than letters that happen to be in the same places.
                let isPart = name.count > 2 && (word.contains(name) || name.contains(word))
                let distance = isPart ? 1 : Glossary.distance(Array(name.utf8), Array(word.utf8))
                best[entry.name] = min(best[entry.name] ?? .max, distance)
            }
        }
        return best.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(count).map(\.key)
    }

    /// The number of letters to insert, delete or replace, to turn one word into the other: Levenshtein distance.
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
