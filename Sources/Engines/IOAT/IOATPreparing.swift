// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMADriverKit
public import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters

/// Descriptors of everything but a plain copy.
extension IOATEngine {
    static func capabilities(_ device: IOATDevice, ring count: Int) -> Capabilities {
        let version = device.version
        var operations: OperationSet = [.copy, OperationSet(.null)]
        if device.hasFill { operations.insert(.fill) }
        if device.hasParity { operations.formUnion([.xor, .xorValidate, .pq, OperationSet(.pqValidate)]) }
        var capabilities = Capabilities(
            name: "ioat", implementation: "Intel I/OAT \(version >> 4).\(version & 15)", operations: operations,
            depth: device.configuration.depth)
        capabilities.flags = device.hasInterrupts ? [.fence, .interrupt] : [.fence]
        if device.hasParity {
            capabilities.flags.formUnion([.continue, .disableP, .disableQ])
            capabilities.maximumSources = IOAT.mostSources
        }
        // A piece of a parity operation takes four descriptors at most.
        capabilities.maximumCount = UInt64(count / 16) << UInt64(device.transferBits)
        capabilities.canPause = true
        capabilities.extendsWhileRunning = true
        capabilities.hasInterrupts = device.hasInterrupts
        capabilities.quantum = 1 << UInt64(device.transferBits)
        return capabilities
    }

    @unsafe @usableFromInline @inline(never)
    mutating func enqueueSlowly(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        if detours.contains(.lost) || cold.device.isGone { return .deviceGone }
        guard cold.capabilities.operations.contains(OperationSet(descriptor.kind)) else {
            return .refused(DMAError(.unsupportedOperation))
        }
        guard descriptor.count > 0 || descriptor.kind == .null else { return .refused(DMAError(.zeroLength)) }
        let pieces = descriptor.count == 0 ? 1 : Int(clamping: (descriptor.count - 1) / largest + 1)
        let shape = IOATShape(descriptor)
        guard pieces <= ring.count / 16 else {
            return .refused(DMAError(.sizeOverflow, asked: descriptor.count, limit: cold.capabilities.maximumCount))
        }
        guard shape.sources <= IOAT.mostSources else {
            return .refused(DMAError(.tooManySources, asked: UInt64(shape.sources), limit: UInt64(IOAT.mostSources)))
        }
        let taken = pieces * shape.descriptors
        guard UInt32(taken) <= most &- (tail &- head) else { return .full }
        let first = tail
        for piece in 0..<pieces {
            let offset = UInt64(piece) * largest
            let size = descriptor.count == 0 ? 1 : min(descriptor.count - offset, largest)
            for group in 0..<shape.groups {
                let isLast = piece == pieces - 1 && group == shape.groups - 1
                var control = IOATControl(shape.operation)
                control[.writesCompletion] = true
                control[.interrupts] = isLast && descriptor.flags.contains(.interrupt)
                // The second group of sources adds to what the first has written.
                control[.fence] = group < shape.groups - 1 || isLast && descriptor.flags.contains(.fence)
                let pair = shape.build(descriptor, control, group, offset, UInt32(truncatingIfNeeded: size))
                append(pair.0, tag, hasExtension: pair.1 != nil)
                if let second = pair.1 { append(second, tag, hasExtension: false) }
            }
        }
        let used = tail &- first
        // SAFETY: see `slots`.
        let flags = unsafe slots[Int(first & mask)].shape & IOATSlot.hasExtension
        let lastHasExtension = unsafe slots[Int((tail &- 2) & mask)].has(IOATSlot.hasExtension) && used > 1
        let span = used - (lastHasExtension ? 1 : 0)
        let validates = shape.operation == .xorValidate || shape.operation == .pqValidate
        unsafe slots[Int(first & mask)] = IOATSlot(
            tag: tag, shape: used | span << 16 | flags | (validates ? IOATSlot.validates : 0), count: descriptor.count)
        return .accepted
    }

    /// Writes a descriptor at the end of the ring.
    private mutating func append(_ descriptor: IOATDescriptor, _ tag: UInt32, hasExtension: Bool) {
        var descriptor = descriptor
        descriptor.next = ring.address(of: Int(truncatingIfNeeded: tail) + 1).rawValue
        ring.write(descriptor, at: Int(truncatingIfNeeded: tail))
        // SAFETY: see `slots`.
        unsafe slots[Int(tail & mask)] = IOATSlot(tag: tag, shape: hasExtension ? IOATSlot.hasExtension : 0, count: 0)
        tail &+= 1
    }
}

/// What a transaction becomes: an operation of the channel, and how many descriptors a piece of it takes.
///
/// The channel wants two sources at least. Fewer are repeated so that the sum is the same: three times a source is that source once; twice is nothing.
struct IOATShape {
    let operation: IOATOperation
    /// Sources of the client, and the sources that the driver adds so that the destinations' present contents are included.
    let sources: Int
    let extra: Int

    init(_ descriptor: Descriptor) {
        let number = Int(descriptor.sourceCount)
        let continues = descriptor.flags.contains(.continue)
        switch descriptor.kind {
        case .fill: (operation, sources, extra) = (.fill, 0, 0)
        case .xor:
            extra = continues ? 1 : 0
            operation = number + extra < 2 ? .copy : .xor
            sources = number
        case .xorValidate: (operation, sources, extra) = (.xorValidate, number, 0)
        case .pq:
            operation = .pq
            sources = number
            // P is the sum of itself, Q and Q; Q that of nothing, once itself and nothing (Linux, include/linux/dmaengine.h at `dma_maxpq`).
            let single = descriptor.flags.contains(.disableP) || descriptor.flags.contains(.disableQ)
            extra = !continues ? 0 : single ? 1 : 3
        case .pqValidate: (operation, sources, extra) = (.pqValidate, number, 0)
        default: (operation, sources, extra) = (.copy, 0, 0)
        }
    }

    /// Sources of the client in one descriptor.
    private var room: Int { IOAT.mostSources - extra }
    /// Descriptors that a piece takes for its sources, extensions not counted.
    var groups: Int { operation.isParity ? max((sources + room - 1) / room, 1) : 1 }
    /// Descriptors that a piece takes at most.
    var descriptors: Int { operation.isParity ? 2 * groups : 1 }

    /// The descriptor of a group of sources, and its extension.
    func build(
        _ descriptor: Descriptor, _ control: IOATControl, _ group: Int, _ offset: UInt64, _ size: UInt32
    ) -> (IOATDescriptor, IOATDescriptor?) {
        var control = control
        switch descriptor.kind {
        case .null:
            control[.isNull] = true
            return (IOATDescriptor(control, size: size), nil)
        case .fill:
            var result = IOATDescriptor(control, size: size)
            result.source = descriptor.value
            result.destination = descriptor.destination &+ offset
            return (result, nil)
        case .copy:
            var result = IOATDescriptor(control, size: size)
            result.source = descriptor.source &+ offset
            result.destination = descriptor.destination &+ offset
            return (result, nil)
        default: return parity(descriptor, control, group, offset, size)
        }
    }

    private func parity(
        _ descriptor: Descriptor, _ control: IOATControl, _ group: Int, _ offset: UInt64, _ size: UInt32
    ) -> (IOATDescriptor, IOATDescriptor?) {
        var control = control
        let first = descriptor.destinationSegment(0).address &+ offset
        let second = descriptor.destinationSegment(1).address &+ offset
        if operation == .copy {
            var result = IOATDescriptor(control, size: size)
            result.source = descriptor.sourceSegment(0).address &+ offset
            result.destination = first
            return (result, nil)
        }
        let isPQ = operation == .pq || operation == .pqValidate
        var list: [(address: UInt64, weight: UInt8)] = []
        let weights = descriptor.coefficients.values
        for index in group * room..<min((group + 1) * room, sources) {
            let weight = isPQ && index < 32 ? weights[index] : 0
            list.append((descriptor.sourceSegment(index).address &+ offset, weight))
        }
        var destination = first
        if operation == .xorValidate, !list.isEmpty {
            // The sum is nothing: the first source is that of the others.
            destination = list[0].address
            list.removeFirst(list.count > 1 ? 1 : 0)
            // One source alone has to be nothing itself: the sum of twice itself.
            if list.count == 1 { list += sources > 1 ? [list[0], list[0]] : [list[0]] }
        }
        if extra == 1 {
            if !isPQ {
                list.append((first, 0))
            } else {
                list.append(descriptor.flags.contains(.disableP) ? (second, 1) : (first, 0))
            }
        } else if extra == 3 {
            list += [(first, 0), (second, 1), (second, 0)]
        }
        if isPQ, list.count == 1 { list += [(list[0].address, 0), (list[0].address, 0)] }
        control.sources = list.count
        if isPQ {
            control[.disablesP] = descriptor.flags.contains(.disableP)
            control[.disablesQ] = descriptor.flags.contains(.disableQ)
        }
        return fields(list, IOATDescriptor(control, size: size), destination, isPQ ? second : nil)
    }

    private func fields(
        _ list: [(address: UInt64, weight: UInt8)], _ base: IOATDescriptor, _ destination: UInt64, _ q: UInt64?
    ) -> (IOATDescriptor, IOATDescriptor?) {
        var base = base
        var second = IOATDescriptor()
        base.destination = destination
        for (index, entry) in list.enumerated() {
            let place = IOATDescriptor.place(of: index, operation)
            if place.isExtension { second[place.word] = entry.address } else { base[place.word] = entry.address }
            if q != nil { base.coefficients |= UInt64(entry.weight) << UInt64(8 * index) }
        }
        if let q { base.q = q }
        return (base, list.count > operation.ownSources ? second : nil)
    }
}
