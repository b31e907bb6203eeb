// SPDX-License-Identifier: Apache-2.0

/// REGION_READ and REGION_WRITE: bytes of a region.
///
/// Source: vfio-user.rst, "VFIO_USER_REGION_READ", "VFIO_USER_REGION_WRITE".
package struct RegionAccessMessage: Equatable, Sendable {
    package var offset: UInt64
    package var region: UInt32
    package var count: Int
    /// The bytes of a write, and of the reply to a read.
    package var data: [UInt8]

    package init(region: UInt32, offset: UInt64, count: Int, data: [UInt8] = []) {
        self.region = region
        self.offset = offset
        self.count = count
        self.data = data
    }

    init(_ reader: inout PayloadReader, hasData: Bool, limit: Int) throws(WireError) {
        offset = try reader.next()
        region = try reader.next()
        let wanted: UInt32 = try reader.next()
        guard wanted <= limit else { throw .tooLarge }
        count = Int(wanted)
        data = hasData ? try reader.data(count) : []
        guard reader.left == 0, !offset.addingReportingOverflow(UInt64(count)).overflow else { throw .invalid }
    }

    /// Reads the reply to a request; it must be about the same bytes.
    package init(reply payload: [UInt8], to request: RegionAccessMessage, hasData: Bool) throws(WireError) {
        var reader = PayloadReader(payload)
        try self.init(&reader, hasData: hasData, limit: request.count)
        guard offset == request.offset, region == request.region, count == request.count else { throw .invalid }
    }

    func put(_ writer: inout PayloadWriter) {
        writer.put(offset)
        writer.put(region)
        writer.put(UInt32(clamping: count))
        writer.put(data)
    }
    package var payload: [UInt8] { PayloadWriter.payload { put(&$0) } }
}

/// REGION_WRITE_MULTI: several writes of at most 8 bytes.
///
/// Source: vfio-user.rst, "VFIO_USER_REGION_WRITE_MULTI".
package struct RegionWritesMessage: Equatable, Sendable {
    /// Bytes of one write.
    private static let entry = 24

    package var writes: [RegionAccessMessage]
    package init(_ writes: [RegionAccessMessage]) { self.writes = writes }

    init(_ reader: inout PayloadReader) throws(WireError) {
        let number: UInt64 = try reader.next()
        guard reader.left % Self.entry == 0, number == UInt64(reader.left / Self.entry) else { throw .invalid }
        writes = []
        for _ in 0..<number {
            let offset: UInt64 = try reader.next()
            let region: UInt32 = try reader.next()
            let count: UInt32 = try reader.next()
            let data = try reader.data(8)
            guard count <= 8, !offset.addingReportingOverflow(UInt64(count)).overflow else { throw .invalid }
            writes.append(
                RegionAccessMessage(region: region, offset: offset, count: Int(count), data: Array(data.prefix(Int(count)))))
        }
    }

    func put(_ writer: inout PayloadWriter) {
        writer.put(UInt64(writes.count))
        for write in writes {
            writer.put(write.offset)
            writer.put(write.region)
            writer.put(UInt32(clamping: write.count))
            writer.put(Array((write.data + [UInt8](repeating: 0, count: 8)).prefix(8)))
        }
    }

    /// The payload of the reply: how many were done.
    package static func reply(_ done: Int) -> [UInt8] { PayloadWriter.payload { $0.put(UInt64(clamping: done)) } }
    /// Reads the payload of a reply.
    package static func done(reply payload: [UInt8]) throws(WireError) -> UInt64 {
        var reader = PayloadReader(payload)
        return try reader.next()
    }
}

/// DEVICE_GET_REGION_IO_FDS's reply: parts of a region whose writes a descriptor reports. This package's server has none.
///
/// Source: vfio-user.rst, "VFIO_USER_DEVICE_GET_REGION_IO_FDS".
package struct RegionIODescriptorsMessage: Equatable, Sendable {
    package enum Kind: UInt32, Sendable {
        case event = 0
        case region = 1
        case shadowedEvent = 2
    }
    package struct Part: Equatable, Sendable {
        package var offset: UInt64
        package var count: UInt64
        package var descriptorIndex: UInt32
        package var kind: Kind
        package var flags: UInt32
        /// The value that is reported, or the word that is given back with a report.
        package var value: UInt64

        package init(offset: UInt64, count: UInt64, descriptorIndex: UInt32, kind: Kind, flags: UInt32, value: UInt64) {
            self.offset = offset
            self.count = count
            self.descriptorIndex = descriptorIndex
            self.kind = kind
            self.flags = flags
            self.value = value
        }
    }
    static let mostParts: UInt32 = 1024

    package var index: UInt32
    package var parts: [Part]
    package init(index: UInt32, parts: [Part] = []) {
        self.index = index
        self.parts = parts
    }

    /// Reads the payload of a reply to a client that asked with room for all of it.
    ///
    /// - Parameter descriptors: how many came with the reply.
    package init(reply payload: [UInt8], index asked: UInt32, descriptors: Int) throws(WireError) {
        var reader = PayloadReader(payload)
        let needed: UInt32 = try reader.next()
        _ = try reader.next(UInt32.self)
        index = try reader.next()
        let number: UInt32 = try reader.next()
        parts = []
        guard index == asked, number <= Self.mostParts, needed >= 16 else { throw .invalid }
        guard number > 0, needed <= payload.count else { return }
        // Each entry has the size that the total gives it: 40 bytes, or 48 with libvfio-user's shadow.
        let entry = (Int(needed) - 16) / Int(number)
        guard entry >= 40 else { throw .invalid }
        for part in 0..<Int(number) {
            try reader.move(to: 16 + part * entry)
            let offset: UInt64 = try reader.next()
            let count: UInt64 = try reader.next()
            let descriptor: UInt32 = try reader.next()
            let kind: UInt32 = try reader.next()
            let flags: UInt32 = try reader.next()
            _ = try reader.next(UInt32.self)
            let value: UInt64 = try reader.next()
            // A kind that is not known is skipped.
            guard let kind = Kind(rawValue: kind) else { continue }
            guard Int(descriptor) < descriptors else { throw .invalid }
            parts.append(
                Part(offset: offset, count: count, descriptorIndex: descriptor, kind: kind, flags: flags, value: value))
        }
    }

    package var payload: [UInt8] {
        PayloadWriter.payload { writer in
            writer.put(UInt32(clamping: 16 + 40 * parts.count))
            writer.put(0 as UInt32)
            writer.put(index)
            writer.put(UInt32(clamping: parts.count))
            for part in parts {
                writer.put(part.offset)
                writer.put(part.count)
                writer.put(part.descriptorIndex)
                writer.put(part.kind.rawValue)
                writer.put(part.flags)
                writer.put(0 as UInt32)
                writer.put(part.value)
            }
        }
    }
}
