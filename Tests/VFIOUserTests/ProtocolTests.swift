// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import DMAVFIOUserProtocol
import Testing

@Suite("vfio-user: messages")
struct ProtocolTests {
    private static let limit = 4096

    @Test("a header is what was written, and each field that cannot be is refused")
    func header() throws {
        for isReply in [false, true] {
            for error in [nil, 0, 17] as [UInt32?] {
                let header = MessageHeader(
                    9, identifier: 0x1234, payload: 32, isReply: isReply, wantsNoReply: !isReply, error: error)
                let bytes = header.bytes
                #expect(bytes.count == 16)
                #expect(try MessageHeader(bytes, limit: 48) == header)
            }
        }
        // The places that the specification names.
        let bytes = MessageHeader(9, identifier: 0x0201, payload: 0x10, isReply: true, error: 0x16).bytes
        #expect(bytes == [1, 2, 9, 0, 0x20, 0, 0, 0, 0x21, 0, 0, 0, 0x16, 0, 0, 0])
        for length in 0..<40 where length != 16 {
            #expect(throws: WireError.invalid) { try MessageHeader([UInt8](repeating: 0, count: length), limit: 64) }
        }
        for type in 2..<16 as Range<UInt8> {
            var bytes = MessageHeader(1, identifier: 1, payload: 0).bytes
            bytes[8] = type
            #expect(throws: WireError.invalid) { try MessageHeader(bytes, limit: 64) }
        }
        for size in 0..<16 as Range<UInt8> {
            var bytes = MessageHeader(1, identifier: 1, payload: 0).bytes
            bytes[4] = size
            #expect(throws: WireError.invalid) { try MessageHeader(bytes, limit: 64) }
        }
        #expect(throws: WireError.tooLarge) {
            try MessageHeader(MessageHeader(1, identifier: 1, payload: 49).bytes, limit: 64)
        }
        #expect(throws: WireError.tooLarge) {
            try MessageHeader([1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0], limit: 1 << 20)
        }
    }

    private static let requests: [Request] = [
        .version(VersionMessage(.own)), .version(VersionMessage(minor: 0, PeerCapabilities())),
        .dmaMap(DMAMapMessage(isReadable: true, isWritable: false, offset: 4096, address: 0x10_0000, count: 8192)),
        .dmaUnmap(DMAUnmapMessage(address: 0x10_0000, count: 8192)), .deviceInfo(QueryMessage(replySize: 16)),
        .regionInfo(QueryMessage(index: 7, replySize: 4064)), .regionIODescriptors(QueryMessage(index: 1, replySize: 100)),
        .interruptInfo(QueryMessage(index: 2, replySize: 16)),
        .setInterrupts(SetInterruptsMessage(.trigger, .events, index: 1, start: 0, count: 4)),
        .setInterrupts(SetInterruptsMessage(.mask, .flags([true, false, true]), index: 2, start: 5, count: 3)),
        .setInterrupts(SetInterruptsMessage(.unmask, .all, index: 0, start: 0, count: 1)),
        .setInterrupts(SetInterruptsMessage(.trigger, .all, index: 1, start: 0, count: 0)),
        .regionRead(RegionAccessMessage(region: 7, offset: 4, count: 2)),
        .regionWrite(RegionAccessMessage(region: 0, offset: 0x80, count: 8, data: [1, 2, 3, 4, 5, 6, 7, 8])),
        .dmaRead(DMAAccessMessage(address: 0x1000, count: 64)),
        .dmaWrite(DMAAccessMessage(address: 0x1000, count: 3, data: [1, 2, 3])), .reset,
        .regionWriteMultiple(
            RegionWritesMessage([
                RegionAccessMessage(region: 0, offset: 0, count: 4, data: [1, 2, 3, 4]),
                RegionAccessMessage(region: 1, offset: 8, count: 8, data: [8, 7, 6, 5, 4, 3, 2, 1]),
            ])),
    ]

    private func parse(_ command: UInt16, _ payload: [UInt8], _ descriptors: Int = 0) throws(WireError) -> Request {
        try Request(command: command, payload: payload, descriptors: descriptors, transferSize: Self.limit)
    }

    @Test("each request is read as it was written; with a byte less, it is refused", arguments: requests)
    func request(_ request: Request) throws {
        let payload = request.payload
        let descriptors = if case .setInterrupts(let set) = request, set.target == .events { Int(set.count) } else { 0 }
        #expect(try parse(request.command.rawValue, payload, descriptors) == request)
        if payload.count > 0 {
            #expect(throws: WireError.self) { try parse(request.command.rawValue, Array(payload.dropLast()), descriptors) }
        }
        // Descriptors that a request does not have.
        switch request {
        case .setInterrupts, .dmaMap: #expect(throws: WireError.self) { try parse(request.command.rawValue, payload, 7) }
        default: #expect(throws: WireError.invalid) { try parse(request.command.rawValue, payload, 1) }
        }
    }

    @Test("every command with every length from 0 to 4,096, of zeros, ones and random bytes")
    func lengths() {
        var random = Seeded("lengths")
        let long = random.bytes(4096)
        var (accepted, refused) = (0, 0)
        for command in 0...20 as ClosedRange<UInt16> {
            for length in 0...4096 {
                // All lengths of random bytes; of the others, those that a structure may end at.
                var contents = [Array(long[..<length])]
                if length <= 96 || length % 64 == 0 {
                    contents += [[UInt8](repeating: 0, count: length), [UInt8](repeating: 0xff, count: length)]
                }
                for payload in contents {
                    if (try? parse(command, payload)) != nil { accepted += 1 } else { refused += 1 }
                    Self.replies(payload)
                }
            }
        }
        // The reset, which has no payload to be wrong; and the multiple write of nothing.
        #expect(accepted > 4096)
        #expect(refused > 10 * 4096)
    }

    /// Reads a payload as each reply: none may trap.
    private static func replies(_ payload: [UInt8]) {
        _ = try? DeviceInfoMessage(reply: payload)
        _ = try? RegionInfoMessage(reply: payload, index: 0)
        _ = try? InterruptInfoMessage(reply: payload, index: 0)
        _ = try? DMAUnmapMessage(reply: payload)
        _ = try? RegionIODescriptorsMessage(reply: payload, index: 0, descriptors: 1)
        _ = try? RegionWritesMessage.done(reply: payload)
    }

    @Test("commands of migration and dirty pages, and those that there are not, are unsupported")
    func unsupported() {
        for command in [0, 14, 16, 17, 18, 19, 255, 65_535] as [UInt16] {
            #expect(throws: WireError.unsupported) { try parse(command, [UInt8](repeating: 0, count: 32)) }
        }
        // The bitmap of dirty pages with an unmap.
        var payload = Request.dmaUnmap(DMAUnmapMessage(address: 4096, count: 4096)).payload
        payload[4] = 1
        #expect(throws: WireError.unsupported) { try parse(3, payload) }
    }

    // MARK: Version

    private func version(_ text: String, minor: UInt8 = 1, ends: Bool = true) throws(WireError) -> PeerCapabilities {
        try VersionMessage(payload: [0, 0, minor, 0] + Array(text.utf8) + (ends ? [0] : [])).capabilities
    }

    @Test("what peers send: QEMU, SPDK, libvfio-user")
    func peers() throws {
        // SPDK's initiator: no text.
        #expect(try VersionMessage(payload: [0, 0, 1, 0]).capabilities == PeerCapabilities())
        let qemu = try version(
            #"{"capabilities": {"max_msg_fds": 8, "max_data_xfer_size": 1048576, "pgsizes": 4096, "max_dma_maps": 65535, "write_multiple": true, "migration": {"pgsize": 4096}}}"#,
            minor: 0)
        #expect(qemu.descriptors == 8 && qemu.writesMultiple && !qemu.twinSocket)
        let server = try version(
            #"{ "capabilities": { "max_msg_fds": 8, "max_data_xfer_size": 1048576, "twin_socket": { "supported": true, "fd_index": 0 } } }"#
        )
        #expect(server.twinSocket && server.twinSocketIndex == 0)
        #expect(try version("{}") == PeerCapabilities())
        #expect(try version(#"{"capabilities":{}}"#) == PeerCapabilities())
        for twin in [#"{"fd_index":0}"#, #"{"supported":false,"fd_index":3}"#] {
            #expect(try version(#"{"capabilities":{"twin_socket":\#(twin)}}"#) == PeerCapabilities())
        }
        #expect(try version(#"{"capabilities":{"max_msg_fds":4000000000}}"#).descriptors == 253)
        #expect(try version(#"{"capabilities":{"max_data_xfer_size":18446744073709551615}}"#).transferSize == 1 << 20)
    }

    @Test(
        "text that is none of the protocol's is refused",
        arguments: [
            "", "{", "[]", "\"\"", "nul", "{\"capabilities\":1}", "{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
            "{\"capabilities\":{\"max_msg_fds\":-1}}", "{\"capabilities\":{\"max_data_xfer_size\":1.5}}",
            "{\"capabilities\":{\"max_data_xfer_size\":0}}", "{\"capabilities\":{\"pgsizes\":0}}",
            "{\"capabilities\":{\"twin_socket\":true}}", "{\"capabilities\":{\"write_multiple\":1}}",
            "{\"capabilities\":{\"max_msg_fds\":99999999999999999999999999}}", String(repeating: "[", count: 4000),
            "\u{0}{}",
        ])
    func badText(_ text: String) {
        #expect(throws: WireError.self) { try version(text) }
    }

    @Test("without its zero, or longer than 4,096 bytes, the text is refused")
    func textLength() throws {
        #expect(throws: WireError.invalid) { try version("{}", ends: false) }
        let padded = "{}" + String(repeating: " ", count: 4093)
        #expect(try version(padded) == PeerCapabilities())
        #expect(throws: WireError.tooLarge) { try version(padded + " ") }
    }

    // MARK: Replies

    @Test("three capabilities in every order, one unknown: the areas are found; what does not end is refused")
    func capabilities() throws {
        // Bytes: identifier, version, next, and its own.
        let unknown: [UInt8] = [0x77, 0, 1, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9]
        let kind: [UInt8] = [2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]
        var areas: [UInt8] = [1, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
        for number in [0x1000, 0x1000, 0x3000, 0x800] as [UInt64] {
            areas += (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
        }
        let all = [unknown, kind, areas]
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let payload = reply(order.map { all[$0] })
            let info = try RegionInfoMessage(reply: payload, index: 3)
            #expect(info.areas == [.init(offset: 0x1000, count: 0x1000), .init(offset: 0x3000, count: 0x800)])
            #expect(info.needed == UInt32(payload.count))
            // Without room for them, there are none, and the needed size is said.
            let short = try RegionInfoMessage(reply: Array(payload.prefix(32)), index: 3)
            #expect(short.areas == nil && short.needed == UInt32(payload.count))
        }
        var loop = reply([unknown, areas])
        loop[32 + 16 + 4] = 32
        #expect(throws: WireError.invalid) { try RegionInfoMessage(reply: loop, index: 3) }
        var outside = reply([areas])
        outside[12] = 0xff
        outside[13] = 0xff
        #expect(throws: WireError.invalid) { try RegionInfoMessage(reply: outside, index: 3) }
        // An area behind the region's end.
        var beyond = reply([areas])
        beyond[32 + 16 + 16 + 1] = 0x40
        #expect(throws: WireError.invalid) { try RegionInfoMessage(reply: beyond, index: 3) }
        #expect(throws: WireError.invalid) { try RegionInfoMessage(reply: reply([areas]), index: 2) }
    }

    /// A region of 0x4000 bytes, readable, writable and mappable, with these capabilities.
    private func reply(_ capabilities: [[UInt8]]) -> [UInt8] {
        var info = RegionInfoMessage(index: 3)
        info.isReadable = true
        info.isWritable = true
        info.isMappable = true
        info.count = 0x4000
        var bytes = info.payload(room: 4096)
        bytes[4] |= 8
        bytes[12] = 32
        for (number, capability) in capabilities.enumerated() {
            var capability = capability
            if number + 1 < capabilities.count { capability[4] = UInt8(bytes.count + capability.count) }
            bytes += capability
        }
        bytes[0] = UInt8(bytes.count)
        return bytes
    }

    @Test("a region's areas are read as they were written; without room, their size is")
    func areas() throws {
        var info = RegionInfoMessage(index: 0)
        info.isReadable = true
        info.isMappable = true
        info.count = 1 << 16
        info.offset = 1 << 20
        info.areas = [.init(offset: 0x1000, count: 0x1000)]
        let whole = info.payload(room: 4064)
        #expect(whole.count == 32 + 16 + 16)
        info.needed = UInt32(whole.count)
        #expect(try RegionInfoMessage(reply: whole, index: 0) == info)
        let short = info.payload(room: 32)
        #expect(short.count == 32)
        #expect(try RegionInfoMessage(reply: short, index: 0).needed == UInt32(whole.count))
    }

    @Test("replies about other bytes than were asked for are refused; what a later version adds is skipped")
    func replies() throws {
        let read = RegionAccessMessage(region: 1, offset: 8, count: 4)
        var answer = read
        answer.data = [1, 2, 3, 4]
        #expect(try RegionAccessMessage(reply: answer.payload, to: read, hasData: true) == answer)
        for place in [0, 8, 12] {
            var wrong = answer.payload
            wrong[place] ^= 1
            #expect(throws: WireError.self) { try RegionAccessMessage(reply: wrong, to: read, hasData: true) }
        }
        #expect(throws: WireError.self) { try RegionAccessMessage(reply: answer.payload + [0], to: read, hasData: true) }
        let write = DMAAccessMessage(address: 0x1000, count: 2, data: [1, 2])
        // A count of 8 bytes, as libvfio-user and QEMU send it, and of 4, as in the specification's table.
        let long: [UInt8] = [0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
        for reply in [long, Array(long.prefix(12))] {
            #expect(try DMAAccessMessage(reply: reply, to: write, hasData: false).count == 2)
        }
        let info = DeviceInfoMessage(canReset: true, isPCI: true, regions: 9, interrupts: 5)
        #expect(try DeviceInfoMessage(reply: info.payload + [1, 2, 3]) == info)
        #expect(throws: WireError.invalid) {
            try DeviceInfoMessage(
                reply: DeviceInfoMessage(canReset: true, isPCI: true, regions: 257, interrupts: 5).payload)
        }
        let kind = InterruptInfoMessage(index: 0, count: 1, isMaskable: true, masksItself: true)
        #expect(try InterruptInfoMessage(reply: kind.payload, index: 0) == kind)
        let parts = RegionIODescriptorsMessage(
            index: 2,
            parts: [.init(offset: 8, count: 4, descriptorIndex: 0, kind: .event, flags: 1, value: 7)])
        #expect(try RegionIODescriptorsMessage(reply: parts.payload, index: 2, descriptors: 1) == parts)
        #expect(throws: WireError.invalid) {
            try RegionIODescriptorsMessage(reply: parts.payload, index: 2, descriptors: 0)
        }
    }
}
