// SPDX-License-Identifier: Apache-2.0
import CDMA

/// The sanitizer's checks when memory is mapped, and before a channel passes an address to a device.
extension DomainCore {
    /// Called with the sanitizer on, when a mapping has been registered.
    ///
    /// - Parameter isImported: whether some of its memory was not allocated by this package.
    func inspect(_ mapping: LiveMapping, isImported: Bool) {
        if isImported { inspectAddresses(mapping) }
        inspectCacheLines(mapping)
    }

    /// Stacks, program text, and ranges that are not memory. Memory allocated by this package is none of these.
    private func inspectAddresses(_ mapping: LiveMapping) {
        var low: UInt = 0
        var high: UInt = 0
        // SAFETY: the C function writes two local words.
        let knowsStack = unsafe cdma_stack_bounds(&low, &high) == 0
        let maps = ProcessMaps.current()
        let made = mapping.origin
        for source in mapping.sources {
            let (start, count) = (source.start, source.count)
            let (end, overflow) = start.addingReportingOverflow(count)
            let place = "0x\(String(start, radix: 16)), \(count) bytes,"
            if overflow || start < 4096 {
                Sanitizer.report(.mapInvalidRange, id, "\(place) is not a range of memory", at: made, mapping: made)
                continue
            }
            if knowsStack, start < UInt64(high), end > UInt64(low) {
                Sanitizer.report(.mapStack, id, "\(place) lies on this thread's stack", at: made, mapping: made)
                continue
            }
            guard let maps else { continue }
            guard let covering = maps.covering(start, end) else {
                Sanitizer.report(
                    .mapInvalidRange, id, "\(place) is not completely mapped in this process", at: made, mapping: made)
                continue
            }
            if covering.contains(where: \.isExecutable) {
                Sanitizer.report(.mapText, id, "\(place) is program text", at: made, mapping: made)
            } else if mapping.direction != .toDevice, !covering.allSatisfy(\.isWritable) {
                Sanitizer.report(
                    .mapInvalidRange, id, "\(place) is read-only, and the device may write it", at: made, mapping: made)
            }
        }
    }

    /// Two mappings that share a cache line, one of which a device may write. O(mappings × entries).
    private func inspectCacheLines(_ mapping: LiveMapping) {
        let line = constraints.cacheLineSize
        func lines(_ range: BusRange) -> ClosedRange<UInt64> {
            let first = range.start / line
            return first...max(first, (range.start &+ (range.count &- 1)) / line)
        }
        let sources = mapping.sources.map(lines)
        let other = registry.liveMappings.first { live in
            live.identifier != mapping.identifier && (live.direction != .toDevice || mapping.direction != .toDevice)
                && live.sources.contains { source in
                    let occupied = lines(source)
                    return sources.contains { $0.overlaps(occupied) }
                }
        }
        guard let other else { return }
        Sanitizer.report(
            .overlappingCacheLines, id,
            "\(mapping.bytes) bytes share a cache line of \(line) bytes with another live mapping", at: mapping.origin,
            mapping: other.origin)
    }
}

extension MappingRegistry {
    /// Whether the device may access the region in this way.
    fileprivate func isInOrder(_ region: RegionWords, _ access: DeviceAccess) -> Bool {
        var forbidding: Origin?
        for live in liveMappings {
            for mapped in live.regions where region.start >= mapped.start {
                let offset = region.start - mapped.start
                guard offset <= mapped.count, region.count <= mapped.count - offset else { continue }
                if mapped.access.isSuperset(of: access) { return true }
                forbidding = live.origin
            }
        }
        if let forbidding {
            Sanitizer.report(
                .accessNotPermitted, id,
                "\(region.count) bytes at \(IOVA(region.start)), with more access than their mapping permits",
                mapping: forbidding)
        } else {
            Sanitizer.report(
                .outsideMappings, id, "\(region.count) bytes at \(IOVA(region.start)) are in no mapping of domain \(name)")
        }
        return false
    }
}

extension Sanitizer {
    /// For channels: reports `region` if it is not inside one live mapping of the domain that permits `access`. Does nothing
    /// while the sanitizer is off. O(mappings).
    ///
    /// - Parameters:
    ///   - lent: about to be passed to a device.
    ///   - domain: the device's address space.
    ///   - access: how the device will access it.
    /// - Returns: whether the region is valid; true while the sanitizer is off.
    @discardableResult
    public static func check(region lent: borrowing Region, domain: DomainID, access: DeviceAccess) -> Bool {
        guard isEnabled else { return true }
        let region = lent.words
        // A region of another domain than the channel's was mapped for another device of the address space.
        if let found = find(region.domain), let own = find(domain), own === found || own.space == found.space {
            return found.isInOrder(region, access)
        }
        report(.outsideMappings, domain, "\(region.count) bytes at \(IOVA(region.start)) of domain \(region.domain.rawValue)")
        return false
    }

    /// The registries of the existing domains, to find the mappings behind a region's domain number. Keeps no domain alive.
    private static let registered = Locked<[DomainID: MappingRegistry]>([:])

    static func register(_ registry: MappingRegistry) { registered.withLock { $0[registry.id] = registry } }

    static func unregister(_ domain: DomainID) { _ = registered.withLock { $0.removeValue(forKey: domain) } }

    /// Counts one more quarantined object of a domain that still exists.
    static func countQuarantined(_ domain: DomainID) {
        guard let found = find(domain) else { return }
        found.withShard(found.ownShard) { $0.statistics.quarantined += 1 }
    }

    private static func find(_ domain: DomainID) -> MappingRegistry? { registered.withLock { $0[domain] } }
}
