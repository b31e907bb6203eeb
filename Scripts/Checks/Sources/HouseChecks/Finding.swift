// SPDX-License-Identifier: Apache-2.0

/// A finding of a check: where, what, and the cure.
public struct Finding: Equatable, Sendable, CustomStringConvertible {
    public let file: String
    /// Counted from 1; 0 for the whole file.
    public let line: Int
    public let problem: String
    public let cure: String

    public init(_ file: String, _ line: Int, _ problem: String, cure: String) {
        self.file = file
        self.line = line
        self.problem = problem
        self.cure = cure
    }

    /// In the format of editors and compilers, so that they can jump to the line.
    public var description: String { "\(file)\(line > 0 ? ":\(line)" : ""): error: \(problem); cure: \(cure)" }
}

/// Why a check could not be made: an input is missing or malformed. Never counts as passed.
public struct CannotCheck: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
