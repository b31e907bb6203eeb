// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The text of a file.
///
/// - Throws: `CannotCheck` with the path.
public func read(_ path: String) throws(CannotCheck) -> String {
    guard let data = FileManager.default.contents(atPath: path) else { throw CannotCheck("\(path): cannot be read") }
    return String(decoding: data, as: UTF8.self)
}

/// The lines of a text, without their terminators; empty ones are kept, so that an index is a line number less one.
public func lines(of text: String) -> [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

/// The regular files below `folder` whose names end in one of `endings`, in alphabetical order. Empty where the folder does not
/// exist.
///
/// Folders whose names begin with a dot, such as `.build`, are skipped.
public func files(below folder: String, endingIn endings: [String]) -> [String] {
    guard let all = FileManager.default.enumerator(atPath: folder) else { return [] }
    var found: [String] = []
    while let name = all.nextObject() as? String {
        if name.split(separator: "/").last?.hasPrefix(".") ?? false {
            all.skipDescendants()
            continue
        }
        if endings.contains(where: { name.hasSuffix($0) }) { found.append(folder + "/" + name) }
    }
    return found.sorted()
}
