// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// Turns an operation, which names places in a cargo, into a descriptor of bus addresses. Every address passed to an engine is
// made here, and is checked for domain, permission, bounds, alignment and overlap.

// The callees are `mutating`: a borrowed channel small enough to be loaded would be copied for each call.

extension Channel where E: ~Copyable, C: ~Copyable {
    /// `resolve`, for a kind and flags that are not checked yet; throws the reason of a refusal.
    @inlinable
    mutating func resolveChecked(_ operation: Operation, _ cargo: borrowing C, slot: Int) throws(DMAError) -> Descriptor {
        guard limits.operations.contains(OperationSet(operation.kind)), operation.flags.isSubset(of: limits.flags) else {
            throw unsupported(operation.kind, operation.flags)
        }
        if let descriptor = resolve(operation, cargo, slot: slot) { return descriptor }
        // SAFETY: this function fills in only addresses that `place` has checked against the cargo.
        var descriptor = unsafe Descriptor(kind: operation.kind, flags: operation.flags, value: operation.value)
        let source = cargo.region(at: Int(operation.source)).words
        let destination = cargo.region(at: Int(operation.destination)).words
        let reads = operation.kind != .fill
        let count =
            operation.length != .max
            ? operation.length
            : reads ? rest(source, operation.sourceOffset) : rest(destination, operation.destinationOffset)
        if reads { descriptor.source = try place(cargo, Int(operation.source), operation.sourceOffset, count, .read) }
        if operation.kind != .crc32c {
            descriptor.destination = try place(
                cargo, Int(operation.destination), operation.destinationOffset, count, .write)
        }
        if reads, operation.kind != .crc32c {
            let (from, to) = (descriptor.source, descriptor.destination)
            guard to &- from >= count, from &- to >= count else { throw DMAError(.overlappingRegions) }
        }
        descriptor.count = count
        return descriptor
    }

    /// The plain kinds: at most one source and one destination. Kind and flags are among the supported ones. Nil where
    /// something does not fit; `resolveChecked` finds the reason, so that the fast path does no work for error messages.
    @inlinable @inline(__always)
    func resolve(_ operation: Operation, _ cargo: borrowing C, slot: Int) -> Descriptor? {
        // SAFETY: this function fills in only addresses that it has checked against the cargo, and the caller passes the descriptor on only then.
        var descriptor = unsafe Descriptor(kind: operation.kind, flags: operation.flags, value: operation.value)
        switch operation.kind {
        case .copy, .copyCRC32C:
            let source = cargo.region(at: Int(operation.source)).words
            let destination = cargo.region(at: Int(operation.destination)).words
            let count = operation.length != .max ? operation.length : rest(source, operation.sourceOffset)
            guard fits(source, operation.sourceOffset, count, .read),
                fits(destination, operation.destinationOffset, count, .write)
            else { return nil }
            descriptor.source = source.start &+ operation.sourceOffset
            descriptor.destination = destination.start &+ operation.destinationOffset
            // Overlap: the distance between the two starts, in either direction, is less than the length.
            guard descriptor.destination &- descriptor.source >= count, descriptor.source &- descriptor.destination >= count
            else {
                return nil
            }
            descriptor.count = count
        case .fill:
            let destination = cargo.region(at: Int(operation.destination)).words
            let count = operation.length != .max ? operation.length : rest(destination, operation.destinationOffset)
            guard fits(destination, operation.destinationOffset, count, .write) else { return nil }
            descriptor.destination = destination.start &+ operation.destinationOffset
            descriptor.count = count
        case .crc32c:
            let source = cargo.region(at: Int(operation.source)).words
            let count = operation.length != .max ? operation.length : rest(source, operation.sourceOffset)
            guard fits(source, operation.sourceOffset, count, .read) else { return nil }
            descriptor.source = source.start &+ operation.sourceOffset
            descriptor.count = count
        case .null:
            break
        default:
            return resolvePrepared(operation, cargo, slot: slot)
        }
        return descriptor
    }

    /// The bytes of a region beyond an offset; 0 where the offset is outside, which `place` then refuses.
    @inlinable @inline(__always)
    func rest(_ region: RegionWords, _ offset: UInt64) -> UInt64 {
        region.count > offset ? region.count &- offset : 0
    }

    /// Whether the engine may access `count` bytes at `offset` in a region.
    @inlinable @inline(__always)
    func fits(_ region: RegionWords, _ offset: UInt64, _ count: UInt64, _ access: DeviceAccess) -> Bool {
        // The bits that differ from the key: another domain in the upper half, a missing permission in the lower; permissions
        // that are not needed may be missing.
        (region.key ^ limits.key) & ~UInt64(3 & ~access.rawValue) == 0
            && offset <= region.count && count <= region.count &- offset && count &- 1 < limits.maximumCount
            && ((region.start &+ offset) | count) & limits.alignmentMask == 0
    }

    /// The bus address of `count` bytes at `offset` in region `index` of a cargo, checked.
    @inlinable
    mutating func place(
        _ cargo: borrowing C, _ index: Int, _ offset: UInt64, _ count: UInt64, _ access: DeviceAccess
    ) throws(DMAError) -> UInt64 {
        let region = cargo.region(at: index).words
        if region.domain == RegionWords.none.domain { throw noSuchRegion(index, cargo) }
        if !fits(region, offset, count, access) { try place(region, offset, count, access) }
        return region.start &+ offset
    }

    /// The refusal of a region that a cargo does not have.
    @inlinable
    func noSuchRegion(_ index: Int, _ cargo: borrowing C) -> DMAError {
        DMAError(.noSuchRegion, asked: UInt64(clamping: index), limit: UInt64(clamping: cargo.regionCount))
    }

    /// Checks again what `fits` has refused: memory mapped for another device of the address space, an alignment smaller than
    /// the length unit. A slow path; it reports the most basic reason first.
    @usableFromInline @inline(never)
    mutating func place(
        _ region: RegionWords, _ offset: UInt64, _ count: UInt64, _ access: DeviceAccess
    ) throws(DMAError) {
        guard region.domain == limits.domain || space.core.serves(region) else {
            throw DMAError(.foreignDomain, asked: UInt64(region.domain.rawValue), limit: UInt64(limits.domain.rawValue))
        }
        if !region.access.isSuperset(of: access) { throw DMAError(.noPermission) }
        if offset > region.count || count > region.count - offset {
            let (end, overflow) = offset.addingReportingOverflow(count)
            throw DMAError(.outOfRange, asked: overflow ? .max : end, limit: region.count)
        }
        if count == 0 { throw DMAError(.zeroLength) }
        if count > limits.maximumCount { throw DMAError(.sizeOverflow, asked: count, limit: limits.maximumCount) }
        let start = region.start &+ offset
        if start & traits.addressMask != 0 { throw DMAError(.misaligned, asked: start, limit: traits.addressMask + 1) }
        if count & traits.lengthMask != 0 { throw DMAError(.misaligned, asked: count, limit: traits.lengthMask + 1) }
    }

    @usableFromInline @inline(never)
    mutating func unsupported(_ kind: OperationKind, _ asked: DescriptorFlags) -> DMAError {
        guard limits.operations.contains(OperationSet(kind)) else { return DMAError(.unsupportedOperation) }
        return DMAError(
            .unsupportedFlag, asked: UInt64(asked.subtracting(limits.flags).rawValue), limit: UInt64(limits.flags.rawValue))
    }

    /// Operations with several operands, and those with parameters of their own.
    @inlinable @inline(never)
    mutating func resolveLists(
        _ operation: Operation, _ cargo: borrowing C, slot: Int
    ) throws(DMAError) -> Descriptor {
        guard limits.operations.contains(OperationSet(operation.kind)), operation.flags.isSubset(of: limits.flags) else {
            throw unsupported(operation.kind, operation.flags)
        }
        // SAFETY: this function fills in only addresses that it has checked against the cargo, and the caller passes the descriptor on only then.
        var descriptor = unsafe Descriptor(kind: operation.kind, flags: operation.flags, value: operation.value)
        descriptor.detail = operation.detail
        switch operation.kind {
        case .interleaved:
            let template = descriptor.template
            guard template.frames > 0, template.chunk > 0 else { throw DMAError(.zeroLength) }
            guard let sourceExtent = template.extent(stride: template.sourceStride),
                let destinationExtent = template.extent(stride: template.destinationStride)
            else { throw DMAError(.sizeOverflow, asked: 1 << 63, limit: limits.maximumCount) }
            descriptor.source = try place(cargo, Int(operation.source), operation.sourceOffset, sourceExtent, .read)
            descriptor.destination = try place(
                cargo, Int(operation.destination), operation.destinationOffset, destinationExtent, .write)
            guard
                disjoint(
                    Segment(address: descriptor.source, count: sourceExtent),
                    Segment(address: descriptor.destination, count: destinationExtent))
            else { throw DMAError(.overlappingRegions) }
            // A side that does not advance is one chunk long, however much is moved; and each chunk must begin at an aligned
            // address.
            guard template.count <= limits.maximumCount else {
                throw DMAError(.sizeOverflow, asked: template.count, limit: limits.maximumCount)
            }
            let steps = template.frames > 1 ? template.sourceStride | template.destinationStride : 0
            guard steps & traits.addressMask == 0 else {
                throw DMAError(.misaligned, asked: steps, limit: traits.addressMask + 1)
            }
            guard UInt64(template.chunk) & traits.lengthMask == 0 else {
                throw DMAError(.misaligned, asked: UInt64(template.chunk), limit: traits.lengthMask + 1)
            }
            descriptor.count = template.count
        case .cyclic:
            let writes = operation.destinationCount > 0
            let index = Int(writes ? operation.destination : operation.source)
            let ring = cargo.region(at: index).words
            let address = try place(cargo, index, 0, ring.count, writes ? .write : .read)
            guard operation.value > 0, operation.value <= ring.count, ring.count % operation.value == 0 else {
                throw DMAError(.badPeriod, asked: operation.value, limit: ring.count)
            }
            guard operation.value & limits.alignmentMask == 0 else {
                throw DMAError(.misaligned, asked: operation.value, limit: limits.alignmentMask + 1)
            }
            if writes { descriptor.destination = address } else { descriptor.source = address }
            descriptor.count = ring.count
        case .xor, .xorValidate, .pq, .pqValidate:
            try resolveParity(operation, cargo, slot: slot, into: &descriptor)
        case .scatterGather, .peripheral:
            try resolveScatter(operation, cargo, slot: slot, into: &descriptor)
        case .command:
            guard let command = descriptor.command, traits.commands.contains(PeripheralCommandSet(command)) else {
                throw DMAError(.unsupportedCommand)
            }
            guard operation.length <= limits.maximumCount else {
                throw DMAError(.sizeOverflow, asked: operation.length, limit: limits.maximumCount)
            }
            descriptor.count = operation.length
            try checkPosition(descriptor.value, descriptor.count)
            try checkPosition(descriptor.detail[3], descriptor.count)
            try engine.checkCommand(descriptor)
        default:
            throw DMAError(.unsupportedOperation)
        }
        return descriptor
    }

    /// Sources and destinations of one length; a destination must be identical to a source, or not overlap it.
    @inlinable
    mutating func resolveParity(
        _ operation: Operation, _ cargo: borrowing C, slot: Int, into descriptor: inout Descriptor
    ) throws(DMAError) {
        // SAFETY: callers pass numbers of slots, and a slot has `segmentStride` segments. The sources take all but two of
        // these; the destinations of a parity operation, at most two since only its factory functions set their number, follow
        // them. A place is read only after it was written.
        let sources = Int(operation.sourceCount)
        let continues = operation.flags.contains(.continue) ? 1 : 0
        guard sources >= 1, sources + continues <= limits.maximumSources else {
            throw DMAError(.tooManySources, asked: UInt64(sources + continues), limit: UInt64(clamping: limits.maximumSources))
        }
        let isPQ = operation.kind == .pq || operation.kind == .pqValidate
        let skipsP = isPQ && operation.flags.contains(.disableP)
        let skipsQ = isPQ && operation.flags.contains(.disableQ)
        guard sources + 2 <= arena.segmentStride, sources <= 32 || !isPQ, !(skipsP && skipsQ),
            let list = unsafe arena.segments.map({ unsafe $0 + slot * arena.segmentStride })
        else { throw DMAError(.tooManySources, asked: UInt64(sources), limit: UInt64(clamping: limits.maximumSources)) }
        let first = cargo.region(at: Int(operation.source)).words
        let count = operation.length != .max ? operation.length : rest(first, operation.sourceOffset)
        for index in 0..<sources {
            let address = try place(cargo, Int(operation.source) &+ index, operation.sourceOffset, count, .read)
            unsafe list[index] = Segment(address: address, count: count)
        }
        let destinations = Int(operation.destinationCount)
        let validates = operation.kind == .pqValidate
        for index in 0..<destinations {
            let skipped = index == 0 ? skipsP : skipsQ
            let needed: DeviceAccess = validates ? .read : continues != 0 ? [.read, .write] : .write
            let place = Int(operation.destination) + index
            let address = skipped ? 0 : try self.place(cargo, place, operation.destinationOffset, count, needed)
            let segment = Segment(address: address, count: skipped ? 0 : count)
            for other in 0..<(sources + index) where !validates {
                let neighbour = unsafe list[other]
                let inPlace = neighbour.address == segment.address && operation.kind == .xor
                guard inPlace || disjoint(neighbour, segment) else { throw DMAError(.overlappingRegions) }
            }
            unsafe list[sources + index] = segment
        }
        descriptor.count = count
        descriptor.sourceCount = UInt16(sources)
        descriptor.destinationCount = UInt16(destinations)
        unsafe descriptor.operands = UnsafePointer(list)
    }

    /// Lists with equal totals: both sides of a memory copy, or the one side of a peripheral transfer.
    @inlinable
    mutating func resolveScatter(
        _ operation: Operation, _ cargo: borrowing C, slot: Int, into descriptor: inout Descriptor
    ) throws(DMAError) {
        // SAFETY: callers pass numbers of slots, and a slot has `segmentStride` segments, which hold both sides. `gather` has
        // written all that is read here.
        let sources = Int(operation.sourceCount)
        let destinations = Int(operation.destinationCount)
        guard sources + destinations <= min(limits.maximumSegments, arena.segmentStride),
            let list = unsafe arena.segments.map({ unsafe $0 + slot * arena.segmentStride })
        else {
            throw DMAError(
                .tooManySegments, asked: UInt64(sources + destinations), limit: UInt64(clamping: limits.maximumSegments))
        }
        let read = try unsafe gather(
            cargo, first: Int(operation.source), number: sources, offset: operation.sourceOffset, count: operation.length,
            .read,
            into: unsafe list)
        let written = try unsafe gather(
            cargo, first: Int(operation.destination), number: destinations, offset: operation.destinationOffset,
            count: operation.length, .write, into: unsafe list + sources)
        if operation.kind == .scatterGather {
            guard sources > 0, destinations > 0 else {
                throw noSuchRegion(Int(sources > 0 ? operation.destination : operation.source), cargo)
            }
            guard read == written else { throw DMAError(.lengthMismatch, asked: read, limit: written) }
            for index in 0..<sources {
                for other in sources..<(sources + destinations) {
                    guard unsafe disjoint(list[index], list[other]) else { throw DMAError(.overlappingRegions) }
                }
            }
        } else {
            guard (sources == 0) != (destinations == 0) else { throw noSuchRegion(Int(operation.source), cargo) }
            try checkPosition(operation.value, max(read, written))
        }
        descriptor.count = max(read, written)
        guard descriptor.count <= limits.maximumCount else {
            throw DMAError(.sizeOverflow, asked: descriptor.count, limit: limits.maximumCount)
        }
        descriptor.source = sources > 0 ? unsafe list[0].address : 0
        descriptor.destination = destinations > 0 ? unsafe list[sources].address : 0
        descriptor.sourceCount = UInt16(sources)
        descriptor.destinationCount = UInt16(destinations)
        unsafe descriptor.operands = UnsafePointer(list)
    }

    /// Whether a range in a peripheral ends below 2⁶³, the limit of the kernel's `loff_t`.
    @usableFromInline
    mutating func checkPosition(_ position: UInt64, _ count: UInt64) throws(DMAError) {
        guard position != .max else { return }
        let (end, overflow) = position.addingReportingOverflow(count)
        guard !overflow, end <= UInt64(Int64.max) else {
            throw DMAError(.outOfRange, asked: overflow ? .max : end, limit: UInt64(Int64.max))
        }
    }

    /// Writes the segments of one side; where a count is given, the last one is cut there. Returns the total.
    @inlinable
    mutating func gather(
        _ cargo: borrowing C, first: Int, number: Int, offset: UInt64, count: UInt64, _ access: DeviceAccess,
        into list: UnsafeMutablePointer<Segment>
    ) throws(DMAError) -> UInt64 {
        // SAFETY: the caller's list has room for `number` segments, and the index stays below that.
        var sum: UInt64 = 0
        for index in 0..<number {
            let region = cargo.region(at: first + index).words
            // Every place of a list must exist, even one beyond the count.
            guard region.domain != RegionWords.none.domain else { throw noSuchRegion(first + index, cargo) }
            let skip = index == 0 ? offset : 0
            var length = rest(region, skip)
            if count != .max { length = min(length, count - sum) }
            let address = length == 0 && sum > 0 ? 0 : try place(cargo, first + index, skip, length, access)
            unsafe list[index] = Segment(address: address, count: length)
            let (total, overflow) = sum.addingReportingOverflow(length)
            guard !overflow else { throw DMAError(.sizeOverflow, asked: 1 << 63, limit: limits.maximumCount) }
            sum = total
        }
        guard count == .max || sum == count || number == 0 else { throw DMAError(.lengthMismatch, asked: count, limit: sum) }
        return sum
    }

    @inlinable
    mutating func disjoint(_ left: Segment, _ right: Segment) -> Bool {
        // Neither range wraps: both lie inside a region, which does not.
        left.count == 0 || right.count == 0 || left.address &+ left.count <= right.address
            || right.address &+ right.count <= left.address
    }
}

extension InterleavedTemplate {
    /// Bytes from the first chunk to the end of the last; nil where that exceeds 64 bits.
    @inlinable
    func extent(stride: UInt64) -> UInt64? {
        let (steps, overflow) = UInt64(frames &- 1).multipliedReportingOverflow(by: stride)
        let (sum, overflow2) = steps.addingReportingOverflow(UInt64(chunk))
        return overflow || overflow2 ? nil : sum
    }
}
