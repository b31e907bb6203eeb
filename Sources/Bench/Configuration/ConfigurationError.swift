// SPDX-License-Identifier: Apache-2.0

/// Something in a configuration file that is not as it must be: where, what, and what is allowed there.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file's name as it was given.
    public let file: String
    /// From 1; 0 where the file could not be read at all.
    public let line: Int
    public let column: Int
    /// What is wrong.
    public let problem: String
    /// What may stand there; empty where there is nothing to say.
    public let allowed: String

    /// As compilers print them, so that editors can jump there.
    public var description: String {
        (line > 0 ? "\(file):\(line):\(column): " : "\(file): ") + problem + (allowed.isEmpty ? "" : "; allowed: \(allowed)")
    }
}
