// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMADriverKit
internal import DMATypes
internal import DMAVFIOUserProtocol

/// Registers of a region: mapped, where the server has passed a file for them that cannot shrink; by messages otherwise.
///
/// A write by message is sent at once and its reply looked at later. A read, and an access to mapped registers, waits until what was written before has
/// been answered: the server handles messages in their order.
final class VFIOUserPath: RegisterPath {
    private let peer: VFIOUserPeer
    private let region: UInt32
    /// The parts that are mapped, by their offsets; no regions where none is.
    private let areas: ForeignMemory
    private let ranges: [ClosedRange<UInt64>]

    /// - Parameter file: of the areas; nil where there is none.
    init(_ peer: VFIOUserPeer, _ info: RegionInfoMessage, file: OwnedDescriptor?) {
        self.peer = peer
        region = info.index
        let memory = ForeignMemory()
        var mapped: [ClosedRange<UInt64>] = []
        var access: DeviceAccess = []
        if info.isReadable { access.insert(.read) }
        if info.isWritable { access.insert(.write) }
        let whole = [RegionInfoMessage.Area(offset: 0, count: info.count)]
        if info.isMappable, let file {
            for area in info.areas ?? whole where area.count > 0 {
                let (offset, overflow) = info.offset.addingReportingOverflow(area.offset)
                // One that cannot be mapped safely is reached by messages, as the server has to allow.
                guard !overflow,
                    (try? memory.insert(
                        IOVA(area.offset), count: area.count, access: access, file: file.number, offset: offset)) != nil
                else { continue }
                mapped.append(area.offset...area.offset + (area.count - 1))
            }
        }
        areas = memory
        ranges = mapped
    }

    /// Whether any part is mapped.
    var isMapped: Bool { !ranges.isEmpty }

    private func isMapped(_ offset: UInt64, _ width: AccessWidth) -> Bool {
        ranges.contains { $0.contains(offset) && $0.upperBound - offset >= UInt64(width.rawValue - 1) }
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        if isMapped(offset, width) {
            peer.flush()
            guard peer.goneReason == nil else { return width.allOnes }
            return (try? load(offset, width)) ?? width.allOnes
        }
        let request = RegionAccessMessage(region: region, offset: offset, count: width.rawValue)
        return peer.read(request) ?? width.allOnes
    }

    private func load(_ offset: UInt64, _ width: AccessWidth) throws(DMAError) -> UInt64 {
        switch width {
        case .byte: UInt64(try areas.load(at: IOVA(offset), as: UInt8.self))
        case .half: UInt64(try areas.load(at: IOVA(offset), as: UInt16.self))
        case .word: UInt64(try areas.load(at: IOVA(offset), as: UInt32.self))
        case .wide: try areas.load(at: IOVA(offset), as: UInt64.self)
        }
    }

    private func store(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth) throws(DMAError) {
        switch width {
        case .byte: try areas.store(UInt8(truncatingIfNeeded: value), at: IOVA(offset))
        case .half: try areas.store(UInt16(truncatingIfNeeded: value), at: IOVA(offset))
        case .word: try areas.store(UInt32(truncatingIfNeeded: value), at: IOVA(offset))
        case .wide: try areas.store(value, at: IOVA(offset))
        }
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        if isMapped(offset, width) {
            peer.flush()
            // What the device does not permit is lost, as on a bus.
            if peer.goneReason == nil { try? store(value, offset, width) }
            return
        }
        peer.post(.regionWrite(RegionAccessMessage(region: region, offset: offset, value, count: width.rawValue)))
    }

    func flush() { peer.flush() }
}

extension RegionAccessMessage {
    /// A write of the lower `count` bytes of a word.
    init(region: UInt32, offset: UInt64, _ value: UInt64, count: Int) {
        self.init(
            region: region, offset: offset, count: count,
            data: (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) })
    }

    /// The data as a word.
    var value: UInt64 { data.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) } }
}

extension VFIOUserPeer {
    /// One read; nil where the device does not answer.
    func read(_ request: RegionAccessMessage) -> UInt64? {
        guard let reply = try? ask(.regionRead(request)) else { return nil }
        do throws(WireError) {
            return try RegionAccessMessage(reply: reply.payload, to: request, hasData: true).value
        } catch {
            connection.end("the server answers a read with other bytes than were asked for")
            return nil
        }
    }
}
