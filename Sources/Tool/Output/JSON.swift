// SPDX-License-Identifier: Apache-2.0

import DMACopy
import FoundationEssentials

enum JSON {
    /// A document with its keys in order, so that two outputs can be compared line by line.
    static func text(_ document: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }

    /// Why a document could not be read, on one line: what was wrong, and in which field.
    static func reason(_ error: any Error) -> String {
        let (context, missing): (DecodingError.Context, String?)
        switch error as? DecodingError {
        case .keyNotFound(let key, let found): (context, missing) = (found, "no \(key.stringValue)")
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found):
            (context, missing) = (found, nil)
        default: return CopyFailure.oneLine("\(error)")
        }
        let place = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        var text = (place.isEmpty ? "" : "\(place): ") + (missing ?? context.debugDescription)
        if text.last == "." { text.removeLast() }
        return CopyFailure.oneLine(text)
    }
}
