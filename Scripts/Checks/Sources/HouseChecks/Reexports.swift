// SPDX-License-Identifier: Apache-2.0

/// The re-exports of a module: `@_exported import`, of a whole module or of one declaration.
public struct Reexport: Equatable, Sendable {
    public let module: String
    /// The re-exported declaration, with all of its members; nil for a whole module.
    public let name: String?
    public let file: String
    /// Counted from 1.
    public let line: Int

    public init(module: String, name: String?, file: String, line: Int) {
        self.module = module
        self.name = name
        self.file = file
        self.line = line
    }

    /// The re-exports of one source file, and those that cannot be parsed.
    public static func read(_ path: String, _ text: String) -> (reexports: [Reexport], findings: [Finding]) {
        var reexports: [Reexport] = []
        var findings: [Finding] = []
        for (index, line) in SwiftText(text).code.enumerated() {
            let words = SwiftText.words(line)
            guard words.contains("@_exported") else { continue }
            let place = words.firstIndex(of: "import").map { Array(words[($0 + 1)...]) } ?? []
            switch (place.count, place.dropFirst(2).first) {
            case (1, _): reexports.append(Reexport(module: place[0], name: nil, file: path, line: index + 1))
            case (4, "."): reexports.append(Reexport(module: place[1], name: place[3], file: path, line: index + 1))
            default:
                findings.append(
                    Finding(
                        path, index + 1, "a re-export that cannot be read",
                        cure: "write it on one line, as `@_exported public import struct DMACore.Channel`"))
            }
        }
        return (reexports, findings)
    }

    /// The re-exports of every source below a folder.
    ///
    /// - Throws: `CannotCheck` where there is no source, or one cannot be read.
    public static func read(below folder: String) throws(CannotCheck) -> (reexports: [Reexport], findings: [Finding]) {
        let paths = files(below: folder, endingIn: [".swift"])
        guard !paths.isEmpty else { throw CannotCheck("\(folder): there is no source") }
        var all: (reexports: [Reexport], findings: [Finding]) = ([], [])
        for path in paths {
            let (reexports, findings) = read(path, try HouseChecks.read(path))
            all.reexports += reexports
            all.findings += findings
        }
        return all
    }
}
