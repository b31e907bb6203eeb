// SPDX-License-Identifier: Apache-2.0
import CDMA

/// What the sanitizer looks at when something is mapped, and when a channel is about to give an address to a device.
extension Domain {
    /// Called with the sanitizer on, before the mapping is registered.
    func inspect(_ core: MappingCore) {
        let imported = core.entries.filter { $0.memory.backing == .imported }
        if !imported.isEmpty { inspectAddresses(imported, core) }
        inspectCacheLines(core)
    }

    /// Stack, text, and what is no memory at all. Memory that this package allocated is none of these.
    private func inspectAddresses(_ entries: [MappedEntry], _ core: MappingCore) {
        var low: UInt = 0
        var high: UInt = 0
        // SAFETY: the C function writes two local words.
        let knowsStack = unsafe cdma_stack_bounds(&low, &high) == 0
        let maps = ProcessMaps.current()
        for entry in entries {
            let start = entry.cpuAddress
            let (end, overflow) = start.addingReportingOverflow(UInt64(entry.count))
            let place = "0x\(String(start, radix: 16)), \(entry.count) bytes,"
            if overflow || start < 4096 {
                Sanitizer.report(.mapInvalidRange, id, "\(place) is no range of memory", at: core.origin, mapping: core.origin)
                continue
            }
            if knowsStack, start < UInt64(high), end > UInt64(low) {
                Sanitizer.report(.mapStack, id, "\(place) lies on this thread's stack", at: core.origin, mapping: core.origin)
                continue
            }
            guard let maps else { continue }
            guard let covering = maps.covering(start, end) else {
                Sanitizer.report(
                    .mapInvalidRange, id, "\(place) is not all memory of this process", at: core.origin, mapping: core.origin)
                continue
            }
            if covering.contains(where: \.isExecutable) {
                Sanitizer.report(.mapText, id, "\(place) is program text", at: core.origin, mapping: core.origin)
            } else if core.direction != .toDevice, !covering.allSatisfy(\.isWritable) {
                Sanitizer.report(
                    .mapInvalidRange, id, "\(place) is read-only, and the device may write it", at: core.origin,
                    mapping: core.origin)
            }
        }
    }

    /// Two mappings that touch the same cache line, one of which a device may write. O(mappings × entries).
    private func inspectCacheLines(_ core: MappingCore) {
        let line = constraints.cacheLineSize
        func lines(_ range: BusRange) -> ClosedRange<UInt64> {
            let first = range.start / line
            return first...max(first, (range.start &+ (range.count &- 1)) / line)
        }
        let sources = core.entries.map { lines(BusRange(start: $0.cpuAddress, count: UInt64($0.count))) }
        let other = registry.state.withLock { state in
            state.live.values.first { live in
                (live.direction != .toDevice || core.direction != .toDevice)
                    && live.sources.contains { source in
                        let occupied = lines(source)
                        return sources.contains { $0.overlaps(occupied) }
                    }
            }
        }
        guard let other else { return }
        Sanitizer.report(
            .overlappingCacheLines, id,
            "\(core.byteCount) bytes share a cache line of \(line) bytes with a mapping that is alive", at: core.origin,
            mapping: other.origin)
    }
}

extension DomainRegistry {
    /// Whether the device may touch the region as asked.
    fileprivate func isInOrder(_ region: RegionWords, _ access: DeviceAccess) -> Bool {
        enum Verdict {
            case inside
            case forbidden(Origin)
            case outside
        }
        let verdict = state.withLock { state -> Verdict in
            var forbidding: Origin?
            for live in state.live.values {
                for mapped in live.regions where region.start >= mapped.start {
                    let offset = region.start - mapped.start
                    guard offset <= mapped.count, region.count <= mapped.count - offset else { continue }
                    if mapped.access.isSuperset(of: access) { return .inside }
                    forbidding = live.origin
                }
            }
            return forbidding.map { .forbidden($0) } ?? .outside
        }
        switch verdict {
        case .inside: return true
        case .forbidden(let origin):
            Sanitizer.report(
                .accessNotPermitted, id, "\(region.count) bytes at \(IOVA(region.start)) for more than they are mapped for",
                mapping: origin)
            return false
        case .outside:
            Sanitizer.report(
                .outsideMappings, id, "\(region.count) bytes at \(IOVA(region.start)) lie in no mapping of domain \(name)")
            return false
        }
    }
}

extension Sanitizer {
    /// For channels: reports if `region` is not inside one live mapping of the domain that permits `access`. Does nothing while
    /// the sanitizer is off. O(mappings).
    ///
    /// - Parameters:
    ///   - lent: about to be given to a device.
    ///   - domain: the device's address space.
    ///   - access: what the device will do there.
    /// - Returns: whether the region is in order; true while the sanitizer is off.
    @discardableResult
    public static func check(region lent: borrowing Region, domain: DomainID, access: DeviceAccess) -> Bool {
        guard isEnabled else { return true }
        let region = lent.words
        if region.domain == domain, let found = find(domain) { return found.isInOrder(region, access) }
        report(.outsideMappings, domain, "\(region.count) bytes at \(IOVA(region.start)) of domain \(region.domain.rawValue)")
        return false
    }

    /// The registries of the domains that exist, so that a region's number leads to what is mapped there. Keeps no domain alive.
    private static let registered = Locked<[DomainID: DomainRegistry]>([:])

    static func register(_ registry: DomainRegistry) {
        registered.withLock { $0[registry.id] = registry }
    }

    static func unregister(_ domain: DomainID) {
        // The registry may end here: outside the lock, because what it held may call back.
        _ = registered.withLock { $0.removeValue(forKey: domain) }
    }

    /// Counts one more parked object of a domain that still exists.
    static func countQuarantined(_ domain: DomainID) {
        find(domain)?.state.withLock { $0.statistics.quarantined += 1 }
    }

    private static func find(_ domain: DomainID) -> DomainRegistry? { registered.withLock { $0[domain] } }
}
