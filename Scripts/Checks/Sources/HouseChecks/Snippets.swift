// SPDX-License-Identifier: Apache-2.0

/// The code in the guide equals code that was built and run: each Swift block of a chapter is a marked region of an example.
///
/// In an example a region lies between `// snippet: NAME` and `// end`; a chapter says `<!-- snippet: NAME -->` above the block.
public enum Snippets {
    public struct Region: Equatable {
        public let name: String
        public let file: String
        public let line: Int
        public let text: [String]
    }

    /// The marked regions of an example, outdented.
    public static func regions(of path: String, _ text: String) -> (regions: [Region], findings: [Finding]) {
        var regions: [Region] = []
        var findings: [Finding] = []
        var open: (name: String, line: Int, text: [String])?
        for (index, line) in lines(of: text).enumerated() {
            let bare = line.trimmingPrefix { $0 == " " }
            if bare.hasPrefix("// snippet: ") {
                if let open { findings.append(unclosed(path, open.name, open.line)) }
                open = (String(bare.dropFirst(12)), index + 1, [])
            } else if bare == "// end" {
                guard let ended = open else {
                    findings.append(
                        Finding(path, index + 1, "an `// end` without a beginning", cure: "write `// snippet: NAME` above"))
                    continue
                }
                regions.append(Region(name: ended.name, file: path, line: ended.line, text: outdented(ended.text)))
                open = nil
            } else {
                open?.text.append(String(line))
            }
        }
        if let open { findings.append(unclosed(path, open.name, open.line)) }
        return (regions, findings)
    }

    /// Compares a chapter's blocks with the regions. Adds the names in use to `used`.
    public static func check(chapter path: String, _ text: String, _ regions: [Region], used: inout Set<String>) -> [Finding] {
        var findings: [Finding] = []
        var name: String?
        var block: (line: Int, text: [String])?
        for (index, line) in lines(of: text).enumerated() {
            if block != nil {
                if line.hasPrefix("```") {
                    findings += compare(path, name, block?.line ?? 0, block?.text ?? [], regions, &used)
                    block = nil
                    name = nil
                } else {
                    block?.text.append(String(line))
                }
            } else if line.hasPrefix("<!-- snippet: "), line.hasSuffix(" -->") {
                name = String(line.dropFirst(14).dropLast(4))
            } else if line.hasPrefix("```swift") {
                block = (index + 1, [])
            }
        }
        if let block { findings.append(Finding(path, block.line, "a block that does not end", cure: "close it with ```")) }
        return findings
    }

    private static func compare(
        _ path: String, _ name: String?, _ line: Int, _ text: [String], _ regions: [Region], _ used: inout Set<String>
    ) -> [Finding] {
        guard let name else {
            return [
                Finding(
                    path, line, "Swift code that no example contains",
                    cure:
                        "write it in Examples/ between `// snippet: NAME` and `// end`, and `<!-- snippet: NAME -->` above this block"
                )
            ]
        }
        guard let region = regions.first(where: { $0.name == name }) else {
            return [
                Finding(path, line, "no example has a snippet \(name)", cure: "mark it in Examples/ with `// snippet: \(name)`")
            ]
        }
        used.insert(name)
        guard region.text != text else { return [] }
        let differing = zip(region.text, text).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        let at = differing ?? min(region.text.count, text.count)
        let wanted = at < region.text.count ? "`\(region.text[at])`" : "the end"
        return [
            Finding(
                path, line + 1 + at, "snippet \(name) differs from \(region.file):\(region.line + 1 + at)",
                cure: "the line there is \(wanted)")
        ]
    }

    private static func unclosed(_ path: String, _ name: String, _ line: Int) -> Finding {
        Finding(path, line, "snippet \(name) does not end", cure: "write `// end` below it")
    }

    private static func outdented(_ text: [String]) -> [String] {
        let margin = text.filter { !$0.allSatisfy { $0 == " " } }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
        return text.map { String($0.dropFirst(margin)) }
    }
}
