// SPDX-License-Identifier: Apache-2.0

import DMAVFIOUserProtocol

extension FuzzEntry {
    /// A header and a payload, read as a request and as every reply.
    static let vfioUser = FuzzEntry(parser: "vfio-user", length: 4200) { bytes in
        let header: MessageHeader
        do throws(WireError) { header = try MessageHeader(Array(bytes.prefix(MessageHeader.count)), limit: 1 << 20) } catch {
            return nil
        }
        guard header.payloadCount >= 0, header.bytes.count == MessageHeader.count else {
            return "a header of \(header.size) bytes"
        }
        // As a stream would deliver it: what the header announces, or all there is.
        let payload = Array(bytes.dropFirst(MessageHeader.count))
        return request(header.command, payload) ?? replies(payload)
    }

    private static func request(_ command: UInt16, _ payload: [UInt8]) -> String? {
        for descriptors in [0, 1, 3] {
            let request: DMAVFIOUserProtocol.Request
            do throws(WireError) {
                request = try DMAVFIOUserProtocol.Request(
                    command: command, payload: payload, descriptors: descriptors, transferSize: 4096)
            } catch { continue }
            // What was understood is understood again.
            let again: DMAVFIOUserProtocol.Request
            do throws(WireError) {
                again = try DMAVFIOUserProtocol.Request(
                    command: request.command.rawValue, payload: request.payload, descriptors: descriptors, transferSize: 4096)
            } catch { return "\(request) is not read again: \(error)" }
            if again != request { return "\(request) is read again as \(again)" }
            if let failure = check(request) { return failure }
        }
        return nil
    }

    private static func check(_ request: DMAVFIOUserProtocol.Request) -> String? {
        switch request {
        case .dmaMap(let map):
            map.count == 0 || map.address.addingReportingOverflow(map.count - 1).overflow ? "\(map)" : nil
        case .dmaRead(let access), .dmaWrite(let access): access.count > 4096 ? "\(access.count) bytes" : nil
        case .regionRead(let access): access.count > 4096 ? "\(access.count) bytes" : nil
        case .regionWrite(let access): access.count != access.data.count ? "\(access)" : nil
        case .regionWriteMultiple(let multiple): multiple.writes.contains { $0.count > 8 } ? "\(multiple)" : nil
        case .setInterrupts(let set): set.count > 2048 || set.start > 2048 ? "\(set)" : nil
        case .version(let version):
            version.capabilities.transferSize < 8 || version.capabilities.descriptors > 253 ? "\(version)" : nil
        default: nil
        }
    }

    private static func replies(_ payload: [UInt8]) -> String? {
        if let info = try? DeviceInfoMessage(reply: payload), info.regions > 256 || info.interrupts > 256 { return "\(info)" }
        for index in [0, 7] as [UInt32] {
            if let info = try? RegionInfoMessage(reply: payload, index: index) {
                for area in info.areas ?? [] where area.count > info.count || area.offset > info.count - area.count {
                    return "an area outside of its region: \(area)"
                }
                // What is written with room for it is read again.
                let written = info.payload(room: .max)
                let again = try? RegionInfoMessage(reply: written, index: index)
                if again?.areas ?? [] != info.areas ?? [] || again?.count != info.count { return "\(info) is not read again" }
            }
            if let kind = try? InterruptInfoMessage(reply: payload, index: index), kind.count > 2048 { return "\(kind)" }
            for number in 0..<3 {
                let parts = try? RegionIODescriptorsMessage(reply: payload, index: index, descriptors: number)
                if parts?.parts.contains(where: { Int($0.descriptorIndex) >= number }) ?? false { return "\(parts as Any)" }
            }
        }
        _ = try? DMAUnmapMessage(reply: payload)
        _ = try? RegionWritesMessage.done(reply: payload)
        let access = RegionAccessMessage(region: 0, offset: 0, count: 8)
        let transfer = DMAAccessMessage(address: 0, count: 8)
        for hasData in [false, true] {
            let read = try? RegionAccessMessage(reply: payload, to: access, hasData: hasData)
            if let read, read.data.count != (hasData ? 8 : 0) { return "\(read)" }
            let moved = try? DMAAccessMessage(reply: payload, to: transfer, hasData: hasData)
            if let moved, moved.data.count != (hasData ? 8 : 0) { return "\(moved)" }
        }
        return nil
    }
}
