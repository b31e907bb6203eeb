// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

enum JSON {
    /// A document with its keys in order, so that two outputs can be compared line by line.
    static func text(_ document: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }
}
