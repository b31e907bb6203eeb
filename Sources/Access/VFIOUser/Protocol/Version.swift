// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// What one side proposes, or has accepted: protocol version and capabilities.
///
/// QEMU's client proposes 0.0, libvfio-user and SPDK 0.1; the messages that this package uses are the same in both.
///
/// Source: vfio-user.rst, "VFIO_USER_VERSION".
package struct VersionMessage: Equatable, Sendable {
    /// The highest version that this package speaks.
    package static let highest: (major: UInt16, minor: UInt16) = (0, 1)
    /// Bytes of JSON that are looked at; more are refused.
    package static let mostText = 4096

    package var major: UInt16
    package var minor: UInt16
    package var capabilities: PeerCapabilities

    package init(major: UInt16 = highest.major, minor: UInt16 = highest.minor, _ capabilities: PeerCapabilities) {
        self.major = major
        self.minor = minor
        self.capabilities = capabilities
    }

    /// Reads the payload of the request or of its reply.
    package init(payload: [UInt8]) throws(WireError) {
        var reader = PayloadReader(payload)
        major = try reader.next()
        minor = try reader.next()
        let count = reader.left
        guard count <= Self.mostText else { throw .tooLarge }
        var text = try reader.data(count)
        // SPDK's initiator sends none.
        guard !text.isEmpty else {
            capabilities = PeerCapabilities()
            return
        }
        guard text.removeLast() == 0 else { throw .invalid }
        capabilities = try PeerCapabilities(text: text)
    }

    package var payload: [UInt8] {
        PayloadWriter.payload { writer in
            writer.put(major)
            writer.put(minor)
            writer.put(capabilities.text)
            writer.put(0 as UInt8)
        }
    }
}

/// What a side can receive.
package struct PeerCapabilities: Equatable, Sendable {
    /// Descriptors in one message.
    package var descriptors = 1
    /// Bytes of data in one message.
    package var transferSize = 1 << 20
    /// DMA mappings at one time.
    package var mappings = 65_535
    /// Page sizes of DMA mappings, each a bit.
    package var pageSizes: UInt64 = 4096
    /// Whether requests of the server may go over a second socket.
    package var twinSocket = false
    /// Which descriptor of the reply is that socket.
    package var twinSocketIndex: Int?
    /// Whether several writes in one message are understood.
    package var writesMultiple = false

    /// Of a side that names none.
    package init() {}

    /// What this package can receive.
    package static var own: PeerCapabilities {
        var own = PeerCapabilities()
        own.descriptors = 64
        own.pageSizes = 4096
        own.twinSocket = true
        own.writesMultiple = true
        return own
    }

    private struct Document: Codable {
        struct TwinSocket: Codable {
            var supported: Bool?
            var index: UInt32?
            private enum CodingKeys: String, CodingKey {
                case supported
                case index = "fd_index"
            }
        }
        struct Capabilities: Codable {
            var descriptors: UInt32?
            var transferSize: UInt64?
            var mappings: UInt64?
            var pageSizes: UInt64?
            var twinSocket: TwinSocket?
            var writesMultiple: Bool?
            private enum CodingKeys: String, CodingKey {
                case descriptors = "max_msg_fds"
                case transferSize = "max_data_xfer_size"
                case mappings = "max_dma_maps"
                case pageSizes = "pgsizes"
                case twinSocket = "twin_socket"
                case writesMultiple = "write_multiple"
            }
        }
        var capabilities: Capabilities?
    }

    /// - Throws: `invalid` for what is no JSON, has a number or an object of another type, or a capability that nothing can be received with.
    init(text: [UInt8]) throws(WireError) {
        guard let found = try? JSONDecoder().decode(Document.self, from: Data(text)) else { throw .invalid }
        guard let named = found.capabilities else { return }
        if let count = named.descriptors { descriptors = Int(min(count, 253)) }
        if let count = named.transferSize {
            // Less than a register's width could not be used at all.
            guard count >= 8 else { throw .invalid }
            transferSize = Int(min(count, UInt64(1 << 20)))
        }
        if let count = named.mappings { mappings = Int(min(count, UInt64(Int32.max))) }
        if let sizes = named.pageSizes {
            guard sizes != 0 else { throw .invalid }
            pageSizes = sizes
        }
        twinSocket = named.twinSocket?.supported ?? false
        // An index beside a socket that is not supported names none.
        if twinSocket { twinSocketIndex = named.twinSocket?.index.map { Int($0) } }
        writesMultiple = named.writesMultiple ?? false
    }

    /// As JSON, without the zero that ends it in a message.
    var text: [UInt8] {
        var named = Document.Capabilities()
        named.descriptors = UInt32(clamping: descriptors)
        named.transferSize = UInt64(clamping: transferSize)
        named.mappings = UInt64(clamping: mappings)
        named.pageSizes = pageSizes
        if twinSocket {
            named.twinSocket = Document.TwinSocket(supported: true, index: twinSocketIndex.map { UInt32(clamping: $0) })
        }
        named.writesMultiple = writesMultiple
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // It cannot fail: numbers and flags alone.
        return (try? encoder.encode(Document(capabilities: named))).map { [UInt8]($0) } ?? Array("{}".utf8)
    }
}
