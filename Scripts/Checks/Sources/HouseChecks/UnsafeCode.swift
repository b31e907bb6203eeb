// SPDX-License-Identifier: Apache-2.0

/// Every unsafe step has a justification.
///
/// A step is a declaration that contains the word `unsafe`: a function, an initializer, a property, or a statement at a
/// program's top level. Its justification is a comment that begins with `SAFETY:`, inside it or directly above it; `SAFETY, for
/// each of these:` above a group. Declarations without an empty line between them form a group: a comment above the first
/// applies to all of them.
public enum UnsafeCode {
    static let mark = "SAFETY:"

    /// Whether a comment is a justification.
    static func isArgument(_ comment: String) -> Bool { comment.contains(mark) || comment.contains("SAFETY, ") }

    /// A declaration, by its lines.
    struct Step {
        var first: Int
        var last: Int
        var isUnsafe: Bool
    }

    /// A type that is declared `@unchecked Sendable`, and the justification.
    public struct Unchecked: Equatable, Sendable {
        public let file: String
        public let line: Int
        public let type: String
        /// Empty where none is given.
        public let argument: String
    }

    /// Unsafe steps without a justification, and the number of steps.
    public static func check(_ path: String, _ text: String) -> (steps: Int, findings: [Finding]) {
        let source = SwiftText(text)
        let steps = steps(of: source)
        var findings: [Finding] = []
        for (number, step) in steps.enumerated() where step.isUnsafe {
            if (step.first...step.last).contains(where: { isArgument(source.comments[$0]) }) { continue }
            // Up through the group.
            var top = number
            while top > 0, steps[top - 1].last >= above(steps[top].first, source) { top -= 1 }
            let head = above(steps[top].first, source) + 1
            if (head..<steps[top].first).contains(where: { isArgument(source.comments[$0]) }) { continue }
            findings.append(
                Finding(
                    path, step.first + 1, "an unsafe step without a justification",
                    cure: "say in a comment above it, or in it, why it is sound: // \(mark) …"))
        }
        return (steps.count { $0.isUnsafe }, findings)
    }

    /// The last line above `line` that is neither a comment nor an attribute; -1 at the top.
    private static func above(_ line: Int, _ source: SwiftText) -> Int {
        var line = line - 1
        while line >= 0 {
            let code = source.code[line].filter { !$0.isWhitespace }
            let isComment = code.isEmpty && !source.comments[line].isEmpty
            guard isComment || code.hasPrefix("@") && !code.contains("{") else { break }
            line -= 1
        }
        return line
    }

    private static let typeWords: Set = ["class", "struct", "enum", "extension", "protocol", "actor"]
    private static let bodyWords: Set = ["func", "init", "deinit", "subscript", "var", "let", "case", "macro"]

    /// The declarations of a source, in order: members of types and top-level code.
    static func steps(of source: SwiftText) -> [Step] {
        var steps: [Step] = []
        /// Whether each open brace belongs to a type.
        var braces: [Bool] = []
        /// Open parentheses and brackets, in which no declaration begins.
        var nesting = 0
        var current: Step?
        var words: [String] = []

        func isInType() -> Bool { !braces.contains(false) }
        func end() {
            if let step = current { steps.append(step) }
            (current, words) = (nil, [])
        }
        for (number, line) in source.code.enumerated() {
            let all = SwiftText.words(line)
            // A line at a type's level that begins a declaration ends the one before.
            if isInType(), nesting == 0, let first = all.first(where: { !isAttribute($0) && !isModifier($0) }),
                typeWords.contains(first) || bodyWords.contains(first) || current == nil && first != "}"
            {
                end()
                current = Step(first: number, last: number, isUnsafe: false)
            }
            for (place, word) in all.enumerated() {
                if word != "}" || braces.last == false { current?.last = number }
                switch word {
                case "{":
                    let isType = isInType() && words.contains(where: typeWords.contains) && !words.contains(where: isBody)
                    braces.append(isType)
                    if isType { (current, words) = (nil, []) }
                case "}":
                    if braces.popLast() == true { end() }
                case "(", "[": nesting += 1
                case ")", "]": nesting = max(nesting - 1, 0)
                case "unsafe" where !(place > 0 && all[place - 1] == "."):
                    if current == nil { current = Step(first: number, last: number, isUnsafe: true) }
                    current?.isUnsafe = true
                    words.append(word)
                default:
                    if current == nil, isInType() { current = Step(first: number, last: number, isUnsafe: false) }
                    words.append(word)
                }
            }
            if isInType(), line.allSatisfy(\.isWhitespace), nesting == 0 { end() }
        }
        end()
        return steps
    }

    private static func isBody(_ word: String) -> Bool { bodyWords.contains(word) && word != "case" }
    private static func isAttribute(_ word: String) -> Bool { word.hasPrefix("@") }
    private static func isModifier(_ word: String) -> Bool {
        [
            "public", "package", "internal", "fileprivate", "private", "static", "final", "override", "mutating", "nonmutating",
            "consuming", "borrowing", "nonisolated", "convenience", "required", "lazy", "weak", "indirect", "open", "(", ")",
            "set",
            "unsafe", "nonsending",
        ].contains(word)
    }

    /// The types of a source that are `@unchecked Sendable`, each with the comment above it.
    public static func unchecked(_ path: String, _ text: String) -> [Unchecked] {
        let source = SwiftText(text)
        var found: [Unchecked] = []
        for (number, line) in source.code.enumerated() {
            let words = SwiftText.words(line)
            guard words.contains("@unchecked"), let place = words.firstIndex(where: typeWords.contains),
                place + 1 < words.count
            else { continue }
            let head = above(number, source) + 1
            let comment = (head..<max(head, number)).map { number in
                source.comments[number].drop { $0 == "/" }.drop { $0 == " " }
            }
            let argument = comment.drop { !$0.contains(mark) }.joined(separator: " ")
            let said = argument.range(of: mark).map { argument[$0.upperBound...].drop { $0 == " " } } ?? ""
            found.append(Unchecked(file: path, line: number + 1, type: words[place + 1], argument: said.trimmingSpace))
        }
        return found
    }

    /// The list of them, in the document's format.
    public static func document(_ all: [Unchecked]) -> String {
        var text = """
            <!-- SPDX-License-Identifier: Apache-2.0 -->
            # Types that are declared @unchecked Sendable

            Each `@unchecked Sendable` of the package with its justification, which is in the comment above the declaration. `Scripts/test unsafe`
            prints the expected list, and fails if this one differs.

            | Type | Declared in | Why it may be shared |
            |---|---|---|

            """
        for one in all.sorted(by: { ($0.file, $0.type) < ($1.file, $1.type) }) {
            text += "| `\(one.type)` | `\(one.file)` | \(one.argument.split(separator: "|").joined(separator: "\\|")) |\n"
        }
        return text
    }

    /// Types without a justification, and a document that differs from the list.
    public static func check(_ all: [Unchecked], document: (path: String, text: String)) -> [Finding] {
        var findings = all.filter { $0.argument.isEmpty }.map { one in
            Finding(
                one.file, one.line, "\(one.type) is @unchecked Sendable without a justification",
                cure: "say above it why it may be shared: // \(mark) …")
        }
        if document.text != Self.document(all) {
            let lines = (lines(of: document.text), lines(of: Self.document(all)))
            let place = zip(lines.0, lines.1).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            findings.append(
                Finding(
                    document.path, (place ?? min(lines.0.count, lines.1.count)) + 1,
                    "this differs from the list generated from Sources",
                    cure: "house-checks unchecked Sources > \(document.path)"))
        }
        return findings
    }
}

extension StringProtocol {
    fileprivate var trimmingSpace: String {
        var text = String(self)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
