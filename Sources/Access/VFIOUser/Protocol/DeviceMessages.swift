// SPDX-License-Identifier: Apache-2.0

/// DEVICE_GET_INFO's reply: what the device has.
///
/// Source: vfio-user.rst, "VFIO_USER_DEVICE_GET_INFO".
package struct DeviceInfoMessage: Equatable, Sendable {
    /// Regions and kinds of interrupts that are looked at, however many a peer claims to have.
    package static let most: UInt32 = 256

    package var canReset: Bool
    package var isPCI: Bool
    package var regions: UInt32
    package var interrupts: UInt32

    package init(canReset: Bool, isPCI: Bool, regions: UInt32, interrupts: UInt32) {
        self.canReset = canReset
        self.isPCI = isPCI
        self.regions = regions
        self.interrupts = interrupts
    }

    /// Reads the payload of a reply. What a later version adds behind these fields is skipped.
    package init(reply payload: [UInt8]) throws(WireError) {
        var reader = PayloadReader(payload)
        guard try reader.next(UInt32.self) >= 16 else { throw .invalid }
        let flags: UInt32 = try reader.next()
        canReset = flags & 1 != 0
        isPCI = flags & 2 != 0
        regions = try reader.next()
        interrupts = try reader.next()
        guard regions <= Self.most, interrupts <= Self.most else { throw .invalid }
    }

    package var payload: [UInt8] {
        PayloadWriter.payload { writer in
            writer.put(16 as UInt32)
            writer.put((canReset ? 1 : 0) | (isPCI ? 2 : 0) as UInt32)
            writer.put(regions)
            writer.put(interrupts)
        }
    }
}

/// DEVICE_GET_REGION_INFO's reply: a region, and which parts of it can be mapped.
///
/// Source: vfio-user.rst, "VFIO_USER_DEVICE_GET_REGION_INFO"; linux/vfio.h for the capabilities.
package struct RegionInfoMessage: Equatable, Sendable {
    /// Bytes without capabilities.
    package static let fixed = 32
    /// Capabilities that are walked. More are a loop.
    static let mostCapabilities = 64
    /// Areas of a region that are looked at.
    static let mostAreas = 1024

    /// A part of a region that can be mapped.
    package struct Area: Hashable, Sendable {
        package var offset: UInt64
        package var count: UInt64
        package init(offset: UInt64, count: UInt64) {
            self.offset = offset
            self.count = count
        }
    }

    package var index: UInt32
    package var isReadable = false
    package var isWritable = false
    /// A descriptor to map comes with the reply.
    package var isMappable = false
    package var count: UInt64 = 0
    /// What is added to a place in the region for the place in the file.
    package var offset: UInt64 = 0
    /// The parts that can be mapped; nil where there is no such list, so that all of a mappable region can.
    package var areas: [Area]?
    /// Bytes of the whole payload, which may be more than there was room for: ask again with so many.
    package var needed: UInt32 = 32

    package init(index: UInt32) { self.index = index }

    /// Reads the payload of a reply: its capabilities to the end of their list, whatever their order; unknown ones are skipped.
    ///
    /// - Throws: `invalid` also for a list that loops, an area outside of the region, and capabilities outside of a payload that is whole.
    package init(reply payload: [UInt8], index asked: UInt32) throws(WireError) {
        var reader = PayloadReader(payload)
        needed = try reader.next()
        let flags: UInt32 = try reader.next()
        index = try reader.next()
        var place = Int(try reader.next(UInt32.self))
        count = try reader.next()
        offset = try reader.next()
        guard needed >= Self.fixed, index == asked else { throw .invalid }
        isReadable = flags & 1 != 0
        isWritable = flags & 2 != 0
        isMappable = flags & 4 != 0
        // Without room for all, there are none; the caller asks again.
        guard flags & 8 != 0, place != 0, needed <= payload.count else { return }
        var walked = 0
        while place != 0 {
            walked += 1
            guard walked <= Self.mostCapabilities, place >= Self.fixed else { throw .invalid }
            try reader.move(to: place)
            let identifier: UInt16 = try reader.next()
            _ = try reader.next(UInt16.self)
            place = Int(try reader.next(UInt32.self))
            // VFIO_REGION_INFO_CAP_SPARSE_MMAP.
            if identifier == 1, areas == nil { areas = try Self.areas(&reader, count) }
        }
    }

    private static func areas(_ reader: inout PayloadReader, _ count: UInt64) throws(WireError) -> [Area] {
        let number: UInt32 = try reader.next()
        _ = try reader.next(UInt32.self)
        guard number <= mostAreas else { throw .invalid }
        var areas: [Area] = []
        for _ in 0..<number {
            let area = Area(offset: try reader.next(), count: try reader.next())
            guard area.count <= count, area.offset <= count - area.count else { throw .invalid }
            if area.count > 0 { areas.append(area) }
        }
        return areas
    }

    /// The payload of a reply to a client that has room for `room` bytes: with the list of areas, or without it and with the size that it needs.
    package func payload(room: UInt32) -> [UInt8] {
        let list = areas.map { areas in
            PayloadWriter.payload { writer in
                writer.put(1 as UInt16)
                writer.put(1 as UInt16)
                writer.put(0 as UInt32)
                writer.put(UInt32(clamping: areas.count))
                writer.put(0 as UInt32)
                for area in areas {
                    writer.put(area.offset)
                    writer.put(area.count)
                }
            }
        }
        let whole = Self.fixed + (list?.count ?? 0)
        let fits = whole <= Int(room)
        return PayloadWriter.payload { writer in
            writer.put(UInt32(clamping: whole))
            writer.put(
                (isReadable ? 1 : 0) | (isWritable ? 2 : 0) | (isMappable ? 4 : 0) | (list == nil ? 0 : 8) as UInt32)
            writer.put(index)
            writer.put((list != nil && fits ? UInt32(Self.fixed) : 0))
            writer.put(count)
            writer.put(offset)
            if fits, let list { writer.put(list) }
        }
    }
}

/// A question about one of several: a region, a kind of interrupt. Requests of DEVICE_GET_INFO have no index.
package struct QueryMessage: Equatable, Sendable {
    /// The largest payload of the reply.
    package var replySize: UInt32
    package var index: UInt32
    package init(index: UInt32 = 0, replySize: UInt32) {
        self.index = index
        self.replySize = replySize
    }

    /// - Parameters:
    ///   - fixed: bytes of the request, and the least that the reply needs.
    ///   - hasIndex: whether a request of these bytes has one, in its third word.
    init(_ reader: inout PayloadReader, fixed: Int, hasIndex: Bool) throws(WireError) {
        guard reader.left >= fixed else { throw .invalid }
        replySize = try reader.next()
        _ = try reader.next(UInt32.self)
        index = hasIndex ? try reader.next() : 0
        guard replySize >= fixed else { throw .invalid }
    }

    func put(_ writer: inout PayloadWriter, fixed: Int) {
        writer.put(replySize)
        writer.put(0 as UInt32)
        writer.put(index)
        writer.put([UInt8](repeating: 0, count: fixed - 12))
    }
}

/// DEVICE_GET_IRQ_INFO's reply: a kind of interrupt.
///
/// Source: vfio-user.rst, "VFIO_USER_DEVICE_GET_IRQ_INFO".
package struct InterruptInfoMessage: Equatable, Sendable {
    /// The numbers of the kinds: linux/vfio.h, VFIO_PCI_INTX_IRQ_INDEX and following.
    package static let intx: UInt32 = 0, msi: UInt32 = 1, msix: UInt32 = 2
    /// How many kinds a PCI device has: also errors and requests to let go.
    package static let kinds: UInt32 = 5
    /// Vectors of MSI-X at most. PCI Express Base Specification 5.0, 7.7.2.2.
    package static let mostVectors: UInt32 = 2048

    package var index: UInt32
    package var signalsEvents: Bool
    package var isMaskable: Bool
    package var masksItself: Bool
    package var cannotGrow: Bool
    package var count: UInt32

    package init(index: UInt32, count: UInt32, isMaskable: Bool = false, masksItself: Bool = false) {
        self.index = index
        self.count = count
        self.isMaskable = isMaskable
        self.masksItself = masksItself
        signalsEvents = count > 0
        cannotGrow = false
    }

    package init(reply payload: [UInt8], index asked: UInt32) throws(WireError) {
        var reader = PayloadReader(payload)
        guard try reader.next(UInt32.self) >= 16 else { throw .invalid }
        let flags: UInt32 = try reader.next()
        index = try reader.next()
        count = try reader.next()
        guard index == asked, count <= Self.mostVectors else { throw .invalid }
        signalsEvents = flags & 1 != 0
        isMaskable = flags & 2 != 0
        masksItself = flags & 4 != 0
        cannotGrow = flags & 8 != 0
    }

    package var payload: [UInt8] {
        PayloadWriter.payload { writer in
            writer.put(16 as UInt32)
            writer.put(
                (signalsEvents ? 1 : 0) | (isMaskable ? 2 : 0) | (masksItself ? 4 : 0) | (cannotGrow ? 8 : 0) as UInt32)
            writer.put(index)
            writer.put(count)
        }
    }
}

/// DEVICE_SET_IRQS: what is to be done with interrupts.
///
/// Source: vfio-user.rst, "VFIO_USER_DEVICE_SET_IRQS"; linux/vfio.h, struct vfio_irq_set.
package struct SetInterruptsMessage: Equatable, Sendable {
    package enum Action: UInt32, Sendable, CaseIterable {
        case mask = 0x08
        case unmask = 0x10
        case trigger = 0x20
    }
    package enum Target: Equatable, Sendable {
        /// The action for every vector of the range.
        case all
        /// For those whose flag is true.
        case flags([Bool])
        /// Descriptors come with the message, to be signalled at the action; with none, earlier ones are taken away.
        case events
    }

    package var action: Action
    package var target: Target
    package var index: UInt32
    package var start: UInt32
    package var count: UInt32

    package init(_ action: Action, _ target: Target, index: UInt32, start: UInt32, count: UInt32) {
        self.action = action
        self.target = target
        self.index = index
        self.start = start
        self.count = count
    }

    /// Whether all interrupts of the kind are switched off.
    package var switchesOff: Bool { count == 0 && start == 0 && target == .all && action == .trigger }

    /// - Parameter descriptors: how many came with the message.
    init(_ reader: inout PayloadReader, descriptors: Int) throws(WireError) {
        guard try reader.next(UInt32.self) >= 20 else { throw .invalid }
        let flags: UInt32 = try reader.next()
        index = try reader.next()
        start = try reader.next()
        count = try reader.next()
        guard let action = Action(rawValue: flags & 0x38), flags & ~0x3f == 0 else { throw .invalid }
        self.action = action
        guard index < InterruptInfoMessage.kinds, start <= InterruptInfoMessage.mostVectors,
            count <= InterruptInfoMessage.mostVectors
        else { throw .invalid }
        switch flags & 7 {
        case 1: target = .all
        case 2: target = .flags(try reader.data(Int(count)).map { $0 != 0 })
        case 4:
            target = .events
            guard descriptors == 0 || descriptors == Int(count) else { throw .invalid }
        default: throw .invalid
        }
        guard reader.left == 0, descriptors == 0 || target == .events else { throw .invalid }
        guard count > 0 || switchesOff else { throw .invalid }
    }

    func put(_ writer: inout PayloadWriter) {
        var data: [UInt8] = []
        var kind: UInt32 = 1
        switch target {
        case .all: break
        case .flags(let flags): (kind, data) = (2, flags.map { $0 ? 1 : 0 })
        case .events: kind = 4
        }
        writer.put(UInt32(clamping: 20 + data.count))
        writer.put(action.rawValue | kind)
        writer.put(index)
        writer.put(start)
        writer.put(count)
        writer.put(data)
    }
}
