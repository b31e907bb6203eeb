// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// An address space of bus addresses: an IOMMU domain, a VFIO container, an IOAS or a vfio-user peer. It owns the backend,
/// allocates the addresses, and may serve several devices, each with its own ``Domain`` over it.
///
/// Where the kernel keeps no mappings without a device (`MappingBackend.keepsMappings`), a driver attaches its device through
/// ``attach(_:)``, which programs the mappings that were made before, or that are left after the last device was detached.
///
/// ```swift
/// let group = try AddressSpace(name: "IOMMU group 14", translation: .translated(container, apertures: ranges, pageSizes: [4096]))
/// let nvme = Domain(name: "0000:01:00.0", constraints: constraints, space: group)
/// try group.attach { () throws(DMAError) in try container.add(group) }
/// ```
///
/// Thread rules: all functions may be called from any thread.
public final class AddressSpace: Sendable {
    /// A name for logs and reports.
    public let name: String
    /// The backend that translates or is informed of mappings; nil for none.
    let backend: (any MappingBackend)?
    /// Whether bus addresses differ from those of the CPU.
    let isTranslated: Bool
    /// The backend's page sizes in bytes, ascending; empty without translation. The smallest is the granule of every mapping.
    let pageSizes: [UInt64]
    /// The smallest page, in bytes; 1 without translation.
    let granule: UInt64
    private let apertures: [ClosedRange<UInt64>]
    let needs: SourceNeeds
    let takesDeviceMemory: Bool
    /// Whether the backend keeps mappings only while a device is attached.
    let losesMappings: Bool

    private struct State {
        var allocator: IOVAAllocator
        var domains: [DomainID: MappingRegistry] = [:]
        var attached = 0
        var isAttaching = false
        var retired: UInt64 = 0
    }
    private let state: Locked<State>

    /// The address space of each backend in use.
    private struct WeakSpace {
        weak var space: AddressSpace?
    }
    private static let ofBackends = Locked<[ObjectIdentifier: WeakSpace]>([:])

    /// - Parameters:
    ///   - name: for logs and reports.
    ///   - translation: how bus addresses relate to those of this process.
    /// - Throws: `addressSpaceInUse` where the backend has an address space already. Another attempt succeeds once that one has
    ///   ended.
    public convenience init(name: String, translation: Translation = .identity) throws(DMAError) {
        self.init(unclaimed: name, translation)
        guard let backend else { return }
        let isFree = Self.ofBackends.withLock { spaces in
            guard spaces[ObjectIdentifier(backend)]?.space == nil else { return false }
            spaces[ObjectIdentifier(backend)] = WeakSpace(space: self)
            return true
        }
        guard isFree else { throw DMAError(.addressSpaceInUse) }
    }

    /// An address space of CPU addresses without a backend.
    convenience init(identity name: String) { self.init(unclaimed: name, .identity) }

    private init(unclaimed name: String, _ translation: Translation) {
        self.name = name
        switch translation {
        case .identity:
            (backend, isTranslated, pageSizes, apertures) = (nil, false, [], [])
        case .announced(let backend):
            (self.backend, isTranslated, pageSizes, apertures) = (backend, false, [], [])
        case .translated(let backend, let apertures, let sizes):
            let valid = sizes.filter { $0 > 1 && $0 & ($0 - 1) == 0 }.sorted()
            (self.backend, isTranslated, pageSizes) = (backend, true, valid.isEmpty ? [4096] : valid)
            self.apertures = apertures
        }
        granule = pageSizes.first ?? 1
        needs = backend?.needs ?? []
        takesDeviceMemory = isTranslated && (backend?.takesDeviceMemory ?? false)
        losesMappings = !(backend?.keepsMappings ?? true)
        state = Locked(State(allocator: IOVAAllocator(apertures: apertures, granule: granule)))
    }

    deinit {
        guard let backend else { return }
        // A weak reference to an object that is ending is nil; another space may have been entered since.
        Self.ofBackends.withLock { spaces in
            if spaces[ObjectIdentifier(backend)]?.space == nil { spaces[ObjectIdentifier(backend)] = nil }
        }
    }

    /// The address space of `translation`: the existing one of its backend, or a new one.
    ///
    /// - Throws: `addressSpaceInUse` where the existing one has other apertures or page sizes.
    static func of(_ translation: Translation, name: String) throws(DMAError) -> AddressSpace {
        let wanted = AddressSpace(unclaimed: name, translation)
        guard let backend = wanted.backend else { return wanted }
        let space = ofBackends.withLock { spaces -> AddressSpace in
            if let space = spaces[ObjectIdentifier(backend)]?.space { return space }
            spaces[ObjectIdentifier(backend)] = WeakSpace(space: wanted)
            return wanted
        }
        guard
            space.apertures == wanted.apertures, space.pageSizes == wanted.pageSizes,
            space.isTranslated == wanted.isTranslated
        else { throw DMAError(.addressSpaceInUse) }
        return space
    }

    // MARK: Devices

    /// Registers a new domain. Its mappings wait while a device is being attached, and are not passed to a backend that would
    /// drop them.
    func enter(_ registry: MappingRegistry) {
        state.withLock { state in
            state.domains[registry.id] = registry
            guard losesMappings else { return }
            let (isHeld, isProgrammed) = (state.isAttaching, state.attached > 0)
            registry.forEachShard { shard in
                shard.isHeld = isHeld
                shard.isProgrammed = isProgrammed
            }
        }
    }
    func leave(_ id: DomainID) { _ = state.withLock { $0.domains.removeValue(forKey: id) } }
    /// The registry of the domain with that number, if it belongs to this address space and has not ended.
    func registry(of id: DomainID) -> MappingRegistry? { state.withLock { $0.domains[id] } }
    /// The registries of the domains over this address space, oldest first.
    private var registries: [MappingRegistry] {
        state.withLock { $0.domains.values.sorted { $0.id.rawValue < $1.id.rawValue } }
    }

    /// The number of attached devices.
    public var attachedDevices: Int { state.withLock { $0.attached } }
    /// Bytes of bus addresses that are no longer allocated, because the backend holds an unexpected mapping there.
    public var retiredBytes: UInt64 { state.withLock { $0.retired } }

    /// Attaches a device. Where the backend keeps no mappings without one, all existing mappings are programmed after `body`.
    ///
    /// Maps and unmaps of other threads in this address space wait meanwhile.
    /// - Parameter body: attaches the device in the kernel or the peer, for instance with VFIO_GROUP_SET_CONTAINER and
    ///   VFIO_SET_IOMMU.
    /// - Throws: errors of `body`; the backend's refusal of a mapping: mappings programmed so far are ended again then, and the
    ///   device does not count as attached: undo what `body` did. `spaceBusy` where another thread is attaching, or has not
    ///   returned from the backend.
    public func attach(_ body: () throws(DMAError) -> Void) throws(DMAError) {
        try exclusively { () throws(DMAError) in
            try body()
            if losesMappings, attachedDevices == 0 { try program() }
            state.withLock { $0.attached += 1 }
        }
    }

    /// Detaches a device: the counterpart of ``attach(_:)``. Existing mappings stay in the address space's list.
    ///
    /// - Throws: errors of `body`: the device still counts as attached then. `notAttached` where none is. `spaceBusy` as for
    ///   ``attach(_:)``.
    public func detach(_ body: () throws(DMAError) -> Void) throws(DMAError) {
        try exclusively { () throws(DMAError) in
            guard attachedDevices > 0 else { throw DMAError(.notAttached) }
            try body()
            let left = state.withLock { state in
                state.attached -= 1
                return state.attached
            }
            if losesMappings, left == 0 { for registry in registries { registry.setProgrammed(false) } }
        }
    }

    /// Runs `body` while no other thread maps or unmaps, where the backend requires that.
    private func exclusively(_ body: () throws(DMAError) -> Void) throws(DMAError) {
        let isMine = state.withLock { state in
            defer { state.isAttaching = true }
            return !state.isAttaching
        }
        guard isMine else { throw DMAError(.spaceBusy) }
        // Domains made in the meantime wait as well.
        defer {
            state.withLock { $0.isAttaching = false }
            if losesMappings { for registry in registries { registry.release() } }
        }
        if losesMappings { for registry in registries { try registry.hold() } }
        try body()
    }

    /// Programs all existing mappings, or none.
    private func program() throws(DMAError) {
        guard let backend else { return }
        var done: [TranslatedRun] = []
        for registry in registries {
            for (run, access) in registry.translatedRuns {
                do throws(DMAError) {
                    try backend.map(at: IOVA(run.iova), run.source, count: run.count, access: access)
                } catch {
                    // The device that these were for is not attached; mappings that the backend refuses to end here ended with
                    // it.
                    for run in done { _ = try? backend.unmap(at: IOVA(run.iova), count: run.count) }
                    throw error
                }
                done.append(run)
            }
        }
        for registry in registries { registry.setProgrammed(true) }
    }

    // MARK: Bus addresses

    /// Allocates a range; where none is free, domains first return those that they keep for reuse.
    func allocate(
        _ count: UInt64, alignment: UInt64, boundary: UInt64, limit: UInt64
    ) throws(DMAError) -> UInt64 {
        func attempt() throws(DMAError) -> UInt64 {
            try state.withLock { state throws(DMAError) in
                try state.allocator.allocate(count, alignment: alignment, boundary: boundary, limit: limit).rawValue
            }
        }
        do throws(DMAError) { return try attempt() } catch {
            guard error.code == .noAddressSpace else { throw error }
            for registry in registries { free(registry.takeSpareAddresses()) }
            return try attempt()
        }
    }

    /// Frees ranges that were allocated. A range that is not in use is a bug of this package, and is left alone.
    func free(_ ranges: [BusRange]) {
        state.withLock { state in
            for range in ranges { try? state.allocator.free(IOVA(range.start), count: range.count) }
        }
    }

    /// Reserves exactly this range, which already holds a mapping made elsewhere.
    func reserve(_ range: BusRange) throws(DMAError) {
        try state.withLock { state throws(DMAError) in try state.allocator.reserve(IOVA(range.start), count: range.count) }
    }

    /// The range stays reserved for good.
    func retire(_ bytes: UInt64) { state.withLock { $0.retired &+= bytes } }

    /// The number of mapped ranges of bus addresses. For tests.
    var rangesInUse: Int {
        for registry in registries { free(registry.takeSpareAddresses()) }
        return state.withLock { $0.allocator.count }
    }
}

extension DomainCore {
    /// Whether a region that was mapped for another device of this address space may be passed to this one.
    func serves(_ region: RegionWords) -> Bool {
        guard let other = space.registry(of: region.domain), region.count > 0 else { return false }
        let (last, overflow) = region.start.addingReportingOverflow(region.count - 1)
        guard !overflow, last <= rules.streamingMask, region.start & (constraints.alignment - 1) == 0,
            region.count <= rules.segments.maximum,
            !rules.segments.crossesBoundary(BusRange(start: region.start, count: region.count))
        else { return false }
        // The mapping maintains caches for the other device only: in lines of that size, and not at all for a coherent one.
        return constraints.isCoherent
            || !other.constraints.isCoherent && other.constraints.cacheLineSize >= constraints.cacheLineSize
    }
}
