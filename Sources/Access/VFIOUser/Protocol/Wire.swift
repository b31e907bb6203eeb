// SPDX-License-Identifier: Apache-2.0

/// Why a message is not one of the protocol, with the error number of the reply that refuses it.
package enum WireError: UInt32, Error, Equatable, Sendable {
    /// EINVAL: a length or a field has a value that the protocol does not permit.
    case invalid = 22
    /// ENOTSUP: a command or a feature of the protocol that this side does not have.
    case unsupported = 95
    /// EMSGSIZE: more data than was negotiated.
    case tooLarge = 90
}

/// Reads fields of a payload in order. Nothing is read beyond its end.
///
/// All numbers are in the byte order of the host (Protocol Specification), which is little-endian on every machine that this package is built for.
struct PayloadReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Bytes that were not read yet.
    var left: Int { bytes.count - position }

    /// The next number.
    mutating func next<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type = T.self) throws(WireError) -> T {
        let width = MemoryLayout<T>.size
        guard left >= width else { throw .invalid }
        defer { position += width }
        return (0..<width).reduce(0) { $0 | T(truncatingIfNeeded: bytes[position + $1]) << T(8 * $1) }
    }

    /// The next `count` bytes.
    mutating func data(_ count: Int) throws(WireError) -> [UInt8] {
        guard count >= 0, left >= count else { throw .invalid }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Continues at `offset` from the payload's beginning.
    mutating func move(to offset: Int) throws(WireError) {
        guard (0...bytes.count).contains(offset) else { throw .invalid }
        position = offset
    }
}

/// Writes fields of a payload in order.
struct PayloadWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        for byte in 0..<MemoryLayout<T>.size { bytes.append(UInt8(truncatingIfNeeded: value >> T(8 * byte))) }
    }
    mutating func put(_ data: [UInt8]) { bytes += data }

    /// A payload of numbers and data.
    static func payload(_ body: (inout PayloadWriter) -> Void) -> [UInt8] {
        var writer = PayloadWriter()
        body(&writer)
        return writer.bytes
    }
}
