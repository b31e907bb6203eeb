// SPDX-License-Identifier: Apache-2.0

/// A Swift source by lines, with code and comments separated: as much of the grammar as a check of comments needs.
///
/// The contents of strings are left out of the code, including interpolations.
struct SwiftText {
    /// For each line: the code, and the comments.
    private(set) var code: [String] = [""]
    private(set) var comments: [String] = [""]

    init(_ text: String) {
        let characters = Array(text)
        var index = 0
        func matches(_ word: String, _ place: Int) -> Bool {
            place + word.count <= characters.count && characters[place..<(place + word.count)].elementsEqual(word)
        }
        while index < characters.count {
            if matches("//", index) {
                while index < characters.count, characters[index] != "\n" {
                    comments[comments.count - 1].append(characters[index])
                    index += 1
                }
            } else if matches("/*", index) {
                var depth = 0
                repeat {
                    if matches("/*", index) { depth += 1 }
                    if matches("*/", index) { depth -= 1 }
                    take(characters[index], isCode: false)
                    index += 1
                } while index < characters.count && depth > 0
                if index < characters.count { index += 1 }
            } else if let end = Self.string(characters, index) {
                // Its lines count, its contents do not.
                for place in index..<end where characters[place] == "\n" { take("\n", isCode: true) }
                code[code.count - 1].append("\"\"")
                index = end
            } else {
                take(characters[index], isCode: true)
                index += 1
            }
        }
    }

    private mutating func take(_ character: Character, isCode: Bool) {
        if character == "\n" {
            code.append("")
            comments.append("")
        } else if isCode {
            code[code.count - 1].append(character)
        } else {
            comments[comments.count - 1].append(character)
        }
    }

    /// The end of the string that begins at `start`; nil where there is none.
    private static func string(_ characters: [Character], _ start: Int) -> Int? {
        var index = start
        while index < characters.count, characters[index] == "#" { index += 1 }
        guard index < characters.count, characters[index] == "\"" else { return nil }
        let marks = index - start
        let isLong = index + 2 < characters.count && characters[index + 1] == "\"" && characters[index + 2] == "\""
        let quotes = isLong ? 3 : 1
        index += quotes
        while index < characters.count {
            if characters[index] == "\\", marks == 0 {
                if index + 1 < characters.count, characters[index + 1] == "(" {
                    index = interpolation(characters, index + 2)
                } else {
                    index += 2
                }
                continue
            }
            let end = index + quotes + marks
            if end <= characters.count, characters[index..<(index + quotes)].allSatisfy({ $0 == "\"" }),
                characters[(index + quotes)..<end].allSatisfy({ $0 == "#" })
            {
                return end
            }
            if quotes == 1, characters[index] == "\n" { return index }
            index += 1
        }
        return characters.count
    }

    /// The end of the interpolation whose contents begin at `start`.
    private static func interpolation(_ characters: [Character], _ start: Int) -> Int {
        var (index, depth) = (start, 1)
        while index < characters.count, depth > 0 {
            if let end = string(characters, index) {
                index = end
                continue
            }
            if characters[index] == "(" { depth += 1 }
            if characters[index] == ")" { depth -= 1 }
            index += 1
        }
        return index
    }

    /// The words of a line of code: identifiers with a leading `@` or `#`, and single characters.
    static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        for character in line {
            if character.isLetter || character.isNumber || character == "_" || character == "@" && word.isEmpty {
                word.append(character)
                continue
            }
            if !word.isEmpty { words.append(word) }
            word = ""
            if !character.isWhitespace { words.append(String(character)) }
        }
        return word.isEmpty ? words : words + [word]
    }
}
