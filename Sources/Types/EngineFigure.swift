// SPDX-License-Identifier: Apache-2.0

/// One thing that an engine counts.
public struct EngineFigure: Hashable, Sendable, Codable {
    /// What is counted, as a stable identifier: "directBytes".
    public let name: String
    /// How many, or how many bytes, as the name says.
    public let value: UInt64

    /// So many of `name`.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }
}
