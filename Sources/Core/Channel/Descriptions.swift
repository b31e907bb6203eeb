// SPDX-License-Identifier: Apache-2.0

// Text forms of operations, for logs and error messages.

extension Cookie: CustomStringConvertible {
    public var description: String { "cookie \(rawValue)" }
}

extension Operation: CustomStringConvertible {
    /// The kind, its regions, offsets and bytes: `copy 4096 bytes of region 0 to region 1`.
    public var description: String {
        var text = "\(kind)"
        if length != .max { text += " \(length) bytes" }
        if sourceCount > 0 { text += " of \(Self.regions(source, sourceCount))\(Self.place(sourceOffset))" }
        if destinationCount > 0 { text += " to \(Self.regions(destination, destinationCount))\(Self.place(destinationOffset))" }
        if !flags.isEmpty { text += " (\(flags))" }
        return text
    }

    private static func regions(_ first: UInt16, _ count: UInt16) -> String {
        count == 1 ? "region \(first)" : "regions \(first) to \(Int(first) + Int(count) - 1)"
    }

    private static func place(_ offset: UInt64) -> String { offset == 0 ? "" : " from byte \(offset)" }
}
