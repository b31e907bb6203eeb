// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit
internal import Synchronization

/// The address space of one device, or of a group of devices that share one: what memory is mapped for (rule 3).
///
/// A mapping keeps its domain alive. ``close(file:line:)`` says whether anything is still mapped.
///
/// Thread rules: everything may be called from any thread.
public final class Domain: Sendable {
    /// Unique in this process, never used again.
    public let id: DomainID
    /// For people.
    public let name: String
    /// What the device asks of memory. Values that no device can have (an alignment that is no power of two …) were brought to
    /// the nearest valid one.
    public let constraints: DeviceConstraints
    let translation: Translation
    /// The backend's smallest page, in bytes; 1 where nothing translates.
    let granule: UInt64
    let pageSizes: [UInt64]

    let registry: DomainRegistry

    private static let nextID = Atomic<UInt32>(1)
    private static let nextMapping = Atomic<UInt64>(1)
    /// Names a mapping or a parked object: never 0, never twice.
    static func nextIdentifier() -> UInt64 { nextMapping.wrappingAdd(1, ordering: .relaxed).oldValue }
    /// The fork generation of the process that made the domain.
    let generation = cdma_fork_generation()

    /// - Parameters:
    ///   - name: for people.
    ///   - constraints: what the device asks of memory.
    ///   - translation: how bus addresses relate to those of this process.
    public init(
        name: String, constraints: DeviceConstraints = DeviceConstraints(), translation: Translation = .identity
    ) {
        id = DomainID(rawValue: Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue)
        self.name = name
        self.constraints = constraints.normalized
        self.translation = translation
        switch translation {
        case .identity, .announced:
            granule = 1
            pageSizes = []
            registry = DomainRegistry(id, name, IOVAAllocator(apertures: []))
        case .translated(_, let apertures, let sizes):
            let valid = sizes.filter { $0 > 1 && $0 & ($0 - 1) == 0 }.sorted()
            pageSizes = valid.isEmpty ? [4096] : valid
            granule = pageSizes[0]
            registry = DomainRegistry(id, name, IOVAAllocator(apertures: apertures, granule: granule))
        }
        _ = Sanitizer.environmentAsks
        Sanitizer.register(registry)
    }

    deinit {
        // Typed mappings keep the domain alive, so that only what was mapped from a raw address can be left.
        let (left, raw) = registry.state.withLock { ($0.live, $0.raw) }
        reportLeaks(left.values, at: nil)
        for entries in raw.values {
            for entry in entries {
                // The device loses its way to the memory. If the backend refuses there is nobody left to tell, and no memory of
                // ours that could be kept: what was mapped from a raw address belongs to the client.
                var core = entry.core
                _ = withdraw(&core)
            }
        }
        Sanitizer.unregister(id)
    }

    /// Whether bus addresses are not those of the CPU.
    var isTranslated: Bool {
        if case .translated = translation { return true }
        return false
    }

    /// Who is told of mappings, or translates; nil where nobody is.
    var backend: (any MappingBackend)? {
        switch translation {
        case .identity: nil
        case .announced(let backend), .translated(let backend, _, _): backend
        }
    }

    /// - Throws: `foreignEngine` where an engine's addresses are not those of this domain.
    @usableFromInline
    func checkAddressing(_ addressing: EngineAddressing) throws(DMAError) {
        switch addressing {
        case .cpu:
            if isTranslated { throw DMAError(.foreignEngine, limit: UInt64(id.rawValue)) }
        case .bus(let domain):
            if domain != id { throw DMAError(.foreignEngine, asked: UInt64(domain.rawValue), limit: UInt64(id.rawValue)) }
        }
    }

    /// What has been done so far.
    public var statistics: DomainStatistics { registry.state.withLock { $0.statistics } }

    /// Refuses further mappings. Those that exist stay valid until they end.
    ///
    /// - Throws: `mappingsLeft` where some exist, with their number and bytes; with the sanitizer on, each is reported with
    ///   the source line that made it. The domain is closed all the same.
    public func close(file: StaticString = #fileID, line: UInt = #line) throws(DMAError) {
        let (left, bytes) = registry.state.withLock { state in
            state.isClosed = true
            return (state.live, state.statistics.mappedBytes)
        }
        if left.isEmpty { return }
        reportLeaks(left.values, at: Origin(file: file, line: line))
        throw DMAError(.mappingsLeft, asked: UInt64(left.count), limit: bytes)
    }

    private func reportLeaks(_ left: Dictionary<UInt64, LiveMapping>.Values, at call: Origin?) {
        guard Sanitizer.isEnabled else { return }
        for mapping in left.sorted(by: { $0.identifier < $1.identifier }) {
            Sanitizer.report(
                .leak, id,
                "domain \(name): a \(mapping.kind.rawValue) mapping of \(mapping.bytes) bytes is left, one of \(left.count)",
                at: call, mapping: mapping.origin)
        }
    }
}

/// What a domain knows of its mappings, apart from the domain so that the sanitizer can look into it by number.
final class DomainRegistry: Sendable {
    struct State {
        var isClosed = false
        var statistics = DomainStatistics()
        var allocator: IOVAAllocator
        /// Every mapping that exists, typed or made from a raw address.
        var live: [UInt64: LiveMapping] = [:]
        /// What was made from a raw address, by its first bus address. The same bytes may be mapped more than once.
        var raw: [IOVA: [RawMapping]] = [:]
    }

    let id: DomainID
    let name: String
    let state: Locked<State>

    init(_ id: DomainID, _ name: String, _ allocator: IOVAAllocator) {
        self.id = id
        self.name = name
        state = Locked(State(allocator: allocator))
    }
}

/// What is remembered of every mapping: enough to judge an address and to name a leak. Keeps no memory alive.
struct LiveMapping: Sendable {
    let identifier: UInt64
    let kind: MappingKind
    let direction: Direction
    let origin: Origin
    let bytes: UInt64
    /// As the device sees it.
    let regions: [RegionWords]
    /// The client's memory as the CPU sees it.
    let sources: [BusRange]
}

extension DeviceConstraints {
    /// These constraints with every value that no device can have brought to the nearest valid one.
    var normalized: DeviceConstraints {
        var result = self
        result.alignment = alignment.roundedUpToPowerOfTwo
        result.cacheLineSize = min(max(cacheLineSize.roundedUpToPowerOfTwo, 16), 4096)
        result.maximumSegmentSize = max(maximumSegmentSize, 1)
        result.segmentBoundary = segmentBoundary == 0 ? 0 : segmentBoundary.roundedUpToPowerOfTwo
        result.maximumSegments = max(maximumSegments, 1)
        return result
    }
}
