// SPDX-License-Identifier: Apache-2.0

// Checked access to integers in bytes: in native byte order, at any offset. For a device's byte order use `value.littleEndian`.

extension RawSpan {
    /// The integer at `offset`.
    ///
    /// - Throws: `outOfRange` where it does not lie inside the bytes.
    public func load<T: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int = 0, as type: T.Type = T.self
    ) throws(DMAError) -> T {
        try DMAError.check(offset, MemoryLayout<T>.size, inside: byteCount)
        // SAFETY: the bytes are in bounds, and every bit pattern is a valid integer.
        return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
    }
}

extension MutableRawSpan {
    /// Stores an integer at `offset`.
    ///
    /// - Throws: `outOfRange` where it does not lie inside the bytes; nothing is stored then.
    @_lifetime(self: copy self)
    public mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int = 0) throws(DMAError) {
        try DMAError.check(offset, MemoryLayout<T>.size, inside: byteCount)
        storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
}

extension Buffer {
    /// The integer at `offset`.
    ///
    /// - Throws: `outOfRange` where it does not lie inside the bytes.
    public borrowing func load<T: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int = 0, as type: T.Type = T.self
    ) throws(DMAError) -> T {
        try bytes.load(at: offset, as: T.self)
    }

    /// Stores an integer at `offset`.
    ///
    /// - Throws: `outOfRange` where it does not lie inside the bytes; nothing is stored then.
    public mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int = 0) throws(DMAError) {
        var span = mutableBytes
        try span.store(value, at: offset)
    }
}

extension DMAError {
    /// - Throws: `outOfRange` where `size` bytes at `offset` exceed `count`.
    fileprivate static func check(_ offset: Int, _ size: Int, inside count: Int) throws(DMAError) {
        guard offset >= 0, count >= size, offset <= count - size else {
            throw DMAError(.outOfRange, asked: UInt64(clamping: offset) &+ UInt64(size), limit: UInt64(count))
        }
    }
}
