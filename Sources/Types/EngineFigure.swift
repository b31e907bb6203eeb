// SPDX-License-Identifier: Apache-2.0

/// One counter of an engine.
public struct EngineFigure: Hashable, Sendable, Codable {
    /// The counter's name, a stable identifier: "directBytes".
    public let name: String
    /// A number of events, or of bytes where the name says so.
    public let value: UInt64

    /// A counter with its value.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }
}
