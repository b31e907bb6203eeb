// SPDX-License-Identifier: Apache-2.0

/// Instructions per operation of each variant, and their limits.
public enum Counts {
    /// One line of the file of limits: `VARIANT <= EXPRESSION  # why`, or `VARIANT` alone, which is only printed.
    ///
    /// An expression is a number, a variant, `number * variant` or `variant + number`.
    public struct Limit: Equatable {
        public let variant: String
        public let isStrict: Bool
        public let expression: [String]
        public let line: Int

        func value(_ counts: [String: Double]) -> Double? {
            func term(_ word: String) -> Double? { Double(word) ?? counts[word].map { $0.rounded() } }
            switch expression.count {
            case 1: return term(expression[0])
            case 3:
                guard let left = term(expression[0]), let right = term(expression[2]) else { return nil }
                return expression[1] == "*" ? left * right : expression[1] == "+" ? left + right : nil
            default: return nil
            }
        }
    }

    /// - Throws: `CannotCheck` with the number of an invalid line.
    public static func limits(_ path: String, _ text: String) throws(CannotCheck) -> [Limit] {
        var limits: [Limit] = []
        for (index, line) in lines(of: text).enumerated() {
            let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            guard let variant = words.first else { continue }
            guard words.count == 1 || words.count >= 3 && (words[1] == "<=" || words[1] == "<") else {
                throw CannotCheck("\(path):\(index + 1): error: not a limit; cure: VARIANT <= EXPRESSION")
            }
            limits.append(
                Limit(
                    variant: variant, isStrict: words.count > 1 && words[1] == "<", expression: Array(words.dropFirst(2)),
                    line: index + 1))
        }
        return limits
    }

    /// The table, and the counts over their limits. Whole instructions are compared: a count is a quotient of two long runs.
    public static func check(_ path: String, _ limits: [Limit], _ counts: [String: Double]) -> (
        table: String, findings: [Finding]
    ) {
        var table = row("variant", "instructions", "limit")
        var findings: [Finding] = []
        for limit in limits {
            guard let count = counts[limit.variant] else {
                findings.append(
                    Finding(path, limit.line, "\(limit.variant) was not counted", cure: "add it to dma-counted as a variant"))
                continue
            }
            let shown = "\((count * 10).rounded() / 10)"
            guard !limit.expression.isEmpty else {
                table += row(limit.variant, shown, "")
                continue
            }
            guard let value = limit.value(counts) else {
                findings.append(
                    Finding(
                        path, limit.line, "no such limit: \(limit.expression.joined(separator: " "))",
                        cure: "name counted variants"))
                continue
            }
            let kept = limit.isStrict ? count.rounded() < value : count.rounded() <= value
            table += row(
                limit.variant, shown, "\(limit.isStrict ? "<" : "<=") \((value * 10).rounded() / 10)\(kept ? "" : "   OVER")")
            if kept { continue }
            findings.append(
                Finding(
                    path, limit.line, "\(limit.variant) takes \(shown) instructions per operation; the limit is \(value)",
                    cure: "see what entered the steady path: Benchmarks/count --show \(limit.variant)"))
        }
        return (table, findings)
    }

    private static func row(_ variant: String, _ count: String, _ limit: String) -> String {
        func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(width - text.count, 0)) }
        func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(width - text.count, 0)) + text }
        return "  " + left(variant, 18) + right(count, 14) + "   " + limit + "\n"
    }
}
