// SPDX-License-Identifier: Apache-2.0

/// DMA_MAP: the server may reach these bus addresses.
///
/// Source: vfio-user.rst, "VFIO_USER_DMA_MAP".
package struct DMAMapMessage: Equatable, Sendable {
    package var isReadable: Bool
    package var isWritable: Bool
    /// The first byte's offset in the file whose descriptor comes with the message.
    package var offset: UInt64
    package var address: UInt64
    package var count: UInt64

    package init(isReadable: Bool, isWritable: Bool, offset: UInt64, address: UInt64, count: UInt64) {
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.offset = offset
        self.address = address
        self.count = count
    }

    init(_ reader: inout PayloadReader) throws(WireError) {
        guard try reader.next(UInt32.self) >= 32 else { throw .invalid }
        let flags: UInt32 = try reader.next()
        // libvfio-user adds bit 2, "to be mapped", which is how this package treats every file; its bit 3 asks for access by pread(2).
        guard flags & ~7 == 0 else { throw flags & 8 != 0 ? .unsupported : .invalid }
        isReadable = flags & 1 != 0
        isWritable = flags & 2 != 0
        offset = try reader.next()
        address = try reader.next()
        count = try reader.next()
        guard count > 0, !address.addingReportingOverflow(count - 1).overflow else { throw .invalid }
    }

    func put(_ writer: inout PayloadWriter) {
        writer.put(32 as UInt32)
        writer.put((isReadable ? 1 : 0) | (isWritable ? 2 : 0) as UInt32)
        writer.put(offset)
        writer.put(address)
        writer.put(count)
    }
}

/// DMA_UNMAP: the server may not reach them any more. The reply has the same payload.
///
/// Source: vfio-user.rst, "VFIO_USER_DMA_UNMAP"; linux/vfio.h for the flag "all", which libvfio-user has.
package struct DMAUnmapMessage: Equatable, Sendable {
    /// Whether every mapping is meant; address and count are 0 then.
    package var isAll = false
    package var address: UInt64
    package var count: UInt64
    /// The largest payload of the reply.
    package var replySize: UInt32 = 24

    package init(address: UInt64, count: UInt64) {
        self.address = address
        self.count = count
    }

    init(_ reader: inout PayloadReader) throws(WireError) {
        replySize = try reader.next()
        let flags: UInt32 = try reader.next()
        address = try reader.next()
        count = try reader.next()
        // Bit 0 asks for the bitmap of dirty pages.
        guard flags & 1 == 0 else { throw .unsupported }
        guard flags & ~2 == 0, replySize >= 24 else { throw .invalid }
        isAll = flags & 2 != 0
        guard isAll ? address == 0 && count == 0 : count > 0 else { throw .invalid }
    }

    /// Reads the payload of a reply.
    package init(reply payload: [UInt8]) throws(WireError) {
        var reader = PayloadReader(payload)
        try self.init(&reader)
    }

    func put(_ writer: inout PayloadWriter) {
        writer.put(max(replySize, 24))
        writer.put((isAll ? 2 : 0) as UInt32)
        writer.put(address)
        writer.put(count)
    }
    package var payload: [UInt8] { PayloadWriter.payload { put(&$0) } }
}

/// DMA_READ and DMA_WRITE: bytes of the client's memory, in messages.
///
/// Source: vfio-user.rst, "VFIO_USER_DMA_READ", "VFIO_USER_DMA_WRITE".
package struct DMAAccessMessage: Equatable, Sendable {
    package var address: UInt64
    package var count: Int
    /// The bytes of a write, and of the reply to a read.
    package var data: [UInt8]

    package init(address: UInt64, count: Int, data: [UInt8] = []) {
        self.address = address
        self.count = count
        self.data = data
    }

    init(_ reader: inout PayloadReader, hasData: Bool, limit: Int) throws(WireError) {
        address = try reader.next()
        let wanted: UInt64 = try reader.next()
        guard wanted <= limit else { throw .tooLarge }
        count = Int(wanted)
        guard count > 0, !address.addingReportingOverflow(wanted - 1).overflow else { throw .invalid }
        data = hasData ? try reader.data(count) : []
        guard reader.left == 0 else { throw .invalid }
    }

    /// Reads the reply to a request; it must be about the same bytes.
    package init(reply payload: [UInt8], to request: DMAAccessMessage, hasData: Bool) throws(WireError) {
        var reader = PayloadReader(payload)
        let address: UInt64 = try reader.next()
        // The reply to a write has a count of 4 bytes in the specification's table, and of 8 in what libvfio-user and QEMU send.
        let count: UInt64 = hasData || reader.left >= 8 ? try reader.next() : UInt64(try reader.next(UInt32.self))
        guard address == request.address, count == UInt64(request.count) else { throw .invalid }
        self.init(address: address, count: request.count, data: hasData ? try reader.data(request.count) : [])
        guard reader.left == 0 else { throw .invalid }
    }

    func put(_ writer: inout PayloadWriter) {
        writer.put(address)
        writer.put(UInt64(clamping: count))
        writer.put(data)
    }
    package var payload: [UInt8] { PayloadWriter.payload { put(&$0) } }
}
