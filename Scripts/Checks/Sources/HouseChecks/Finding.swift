// SPDX-License-Identifier: Apache-2.0

/// One thing that a check found wrong: where, what, and how to mend it.
public struct Finding: Equatable, Sendable, CustomStringConvertible {
    public let file: String
    /// Counted from 1; 0 where the whole file is meant.
    public let line: Int
    public let problem: String
    public let cure: String

    public init(_ file: String, _ line: Int, _ problem: String, cure: String) {
        self.file = file
        self.line = line
        self.problem = problem
        self.cure = cure
    }

    /// In the form that editors and compilers use, so that a click leads there.
    public var description: String { "\(file)\(line > 0 ? ":\(line)" : ""): error: \(problem); cure: \(cure)" }
}

/// Why a check could not be made at all: an input is missing or is not what it should be. Never counts as passed.
public struct CannotCheck: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
