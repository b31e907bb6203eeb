// SPDX-License-Identifier: Apache-2.0

/// Every file names its licence in its first line (the second, where the first is fixed by the file's kind).
public enum Licence {
    static let words = "SPDX-License-Identifier: Apache-2.0"

    /// Kinds of files without comments, or whose comments would change their meaning.
    static let exempt = [".json", ".swift-format", "LICENSE", ".gitignore", ".resolved", ".png", ".svg", ".dtb", ".expected"]

    public static func check(_ path: String, _ text: String) -> [Finding] {
        // An article of the guide begins with its title; its licence follows, in a comment that the guide's converter ignores.
        if path.contains(".docc/") {
            let isSaid = lines(of: text).prefix(3).contains { $0 == "@Comment { \(words) }" }
            return isSaid ? [] : [Finding(path, 3, "no licence line", cure: "write \"@Comment { \(words) }\" below the title")]
        }
        // Inputs of parsers are not changed.
        if exempt.contains(where: { path.hasSuffix($0) }) || path.hasPrefix("Fuzz/Corpus/") { return [] }
        let head = lines(of: text).prefix(2)
        guard let first = head.first else { return [Finding(path, 0, "an empty file", cure: "remove it")] }
        if first.contains(words) { return [] }
        // A chapter of the guide begins with its title and abstract; DocC's comment follows them.
        if path.contains(".docc/"), path.hasSuffix(".md") {
            let isThere = lines(of: text).prefix(6).contains("@Comment { \(words) }")
            return isThere ? [] : [Finding(path, 5, "no licence line", cure: "write \"@Comment { \(words) }\" there")]
        }
        // A shebang, SwiftPM's tools version, and the machine of a litmus test must be in the first line.
        let isFixed = first.hasPrefix("#!") || first.hasPrefix("// swift-tools-version") || path.hasSuffix(".litmus")
        if isFixed, head.count > 1, head[1].contains(words) { return [] }
        return [Finding(path, isFixed ? 2 : 1, "no licence line", cure: "write \"\(comment(for: path))\" there")]
    }

    static func comment(for path: String) -> String {
        if path.hasSuffix(".md") || path.hasSuffix(".html") { return "<!-- \(words) -->" }
        let ending = path.split(separator: "/").last?.split(separator: ".").last.map(String.init) ?? ""
        return (["swift", "c", "h", "S", "modulemap", "dts"].contains(ending) ? "// " : "# ") + words
    }
}
