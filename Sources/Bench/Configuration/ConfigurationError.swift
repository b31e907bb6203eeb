// SPDX-License-Identifier: Apache-2.0

/// Something in a configuration file that is not as it must be: where, what, and what is allowed there.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file's name as it was given.
    package let file: String
    /// From 1; 0 where the file could not be read at all.
    package let line: Int
    package let column: Int
    /// What is wrong.
    package let problem: String
    /// What may stand there; empty where there is nothing to say.
    package let allowed: String

    /// As compilers print them, so that editors can jump there; control characters, which a terminal would obey, are shown as U+FFFD.
    package var description: String {
        let text = (line > 0 ? "\(file):\(line):\(column): " : "\(file): ") + problem
        return (text + (allowed.isEmpty ? "" : "; allowed: \(allowed)")).withoutControls
    }
}

extension String {
    var hasControls: Bool { unicodeScalars.contains(where: \.isControl) }

    var withoutControls: String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars { result.append(scalar.isControl ? "\u{fffd}" : scalar) }
        return String(result)
    }
}

extension Unicode.Scalar {
    /// C0, C1, and marks that turn the direction of what follows.
    fileprivate var isControl: Bool {
        value < 0x20 || (0x7f...0x9f).contains(value) || (0x202a...0x202e).contains(value) || (0x2066...0x2069).contains(value)
    }
}
