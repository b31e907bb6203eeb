// SPDX-License-Identifier: Apache-2.0

/// The commands of the protocol.
///
/// Source: QEMU, docs/interop/vfio-user.rst, "Commands".
package enum MessageCommand: UInt16, Sendable, CaseIterable {
    case version = 1
    case dmaMap = 2
    case dmaUnmap = 3
    case deviceInfo = 4
    case regionInfo = 5
    case regionIODescriptors = 6
    case interruptInfo = 7
    case setInterrupts = 8
    case regionRead = 9
    case regionWrite = 10
    case dmaRead = 11
    case dmaWrite = 12
    case reset = 13
    // 14 was the dirty pages of version 0.0.
    case regionWriteMultiple = 15
    case feature = 16
    case migrationRead = 17
    case migrationWrite = 18
}

/// The first 16 bytes of each message.
///
/// Source: vfio-user.rst, "Header".
package struct MessageHeader: Hashable, Sendable {
    /// Bytes of a header.
    package static let count = 16

    /// Chosen by the sender of a request, and repeated in its reply.
    package var identifier: UInt16
    /// The number of a ``MessageCommand``, or of none.
    package var command: UInt16
    /// Bytes of the whole message.
    package var size: UInt32
    /// Whether it answers a request.
    package var isReply: Bool
    /// A request that is not to be answered.
    package var wantsNoReply: Bool
    /// A reply that refuses. Without payload.
    package var isError: Bool
    /// The error number of a reply that refuses; may be 0.
    package var error: UInt32

    package init(
        _ command: UInt16, identifier: UInt16, payload: Int, isReply: Bool = false, wantsNoReply: Bool = false,
        error: UInt32? = nil
    ) {
        self.identifier = identifier
        self.command = command
        size = UInt32(clamping: Self.count + payload)
        self.isReply = isReply
        self.wantsNoReply = wantsNoReply
        isError = error != nil
        self.error = error ?? 0
    }

    /// Reads a header.
    ///
    /// - Parameter limit: the largest size of a whole message that is accepted.
    /// - Throws: `invalid` for another number of bytes, a type that is neither request nor reply, or a size below that of a header; `tooLarge`. What
    ///   follows in the stream cannot be understood then.
    package init(_ bytes: [UInt8], limit: Int) throws(WireError) {
        guard bytes.count == Self.count else { throw .invalid }
        var reader = PayloadReader(bytes)
        identifier = try reader.next()
        command = try reader.next()
        size = try reader.next()
        let flags: UInt32 = try reader.next()
        error = try reader.next()
        guard flags & 0xf <= 1, size >= Self.count else { throw .invalid }
        guard size <= limit else { throw .tooLarge }
        isReply = flags & 0xf == 1
        wantsNoReply = flags & 0x10 != 0
        isError = flags & 0x20 != 0
    }

    /// Its bytes.
    package var bytes: [UInt8] {
        PayloadWriter.payload { writer in
            writer.put(identifier)
            writer.put(command)
            writer.put(size)
            writer.put((isReply ? 1 : 0) | (wantsNoReply ? 0x10 : 0) | (isError ? 0x20 : 0) as UInt32)
            writer.put(error)
        }
    }

    /// Bytes behind the header.
    package var payloadCount: Int { Int(size) - Self.count }
}
