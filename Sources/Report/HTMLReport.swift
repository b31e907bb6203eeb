// SPDX-License-Identifier: Apache-2.0

public import DMABench

/// A benchmark's result as one HTML file.
public struct HTMLReport: Sendable {
    let result: BenchResult
    let comparison: Comparison?

    public init(_ result: BenchResult, comparison: Comparison? = nil) {
        self.result = result
        self.comparison = comparison
    }

    /// The file's contents.
    public var text: String { "" }
}
