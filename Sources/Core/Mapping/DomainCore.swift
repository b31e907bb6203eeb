// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import Synchronization

/// The state behind the ``Domain`` objects of a client: it lives until the last of them and the last mapping have ended.
///
/// A mapping does not retain its core: the cache line of the reference count would move back and forth between two mapping
/// threads, which made two threads slower than one. The core retains itself, and counts its mappings only once the last client
/// has gone. Until then each shard counts its own.
final class DomainCore: Sendable {
    let id: DomainID
    let name: String
    let constraints: DeviceConstraints
    let space: AddressSpace
    let rules: MappingRules
    let backend: BackendCalls
    let registry: MappingRegistry
    /// Mappings made from raw addresses, by their first bus address. The same bytes may be mapped more than once.
    let raw = Locked<[IOVA: [RawMapping]]>([:])
    /// The fork generation of the process that made the domain.
    let generation = cdma_fork_generation()

    /// The references that keep the core alive.
    private struct Users {
        /// ``Domain`` objects.
        var clients = 0
        /// Without a client: mappings that have not ended. With one: those that ended before it was added, and have not been
        /// counted yet.
        var mappings = 0
        var isAlive: Bool { clients > 0 || mappings > 0 }
    }
    private let users = Locked(Users())

    private static let nextID = Atomic<UInt32>(1)
    private static let nextObject = Atomic<UInt64>(1)
    /// Identifies a parked object or a channel: never 0, never reused.
    static func nextIdentifier() -> UInt64 { nextObject.wrappingAdd(1, ordering: .relaxed).oldValue }

    /// A core without a client: the caller adds one.
    init(_ name: String, _ constraints: DeviceConstraints, _ space: AddressSpace) {
        id = DomainID(rawValue: Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue)
        self.name = name
        self.constraints = constraints.normalized
        self.space = space
        backend = BackendCalls(space.backend)
        rules = MappingRules(self.constraints, space)
        registry = MappingRegistry(id, name, self.constraints, space)
        space.enter(registry)
        DomainNames.enter(id.rawValue, name)
        _ = Sanitizer.environmentAsks
        Sanitizer.register(registry)
        // SAFETY: `end` releases it, once: when neither a client nor a mapping is left.
        unsafe _ = Unmanaged.passRetained(self)
    }

    deinit {
        // Typed mappings keep the core alive, so that only mappings from raw addresses can be left.
        reportLeaks(registry.liveMappings, at: nil)
        for entries in raw.withLock({ $0 }).values {
            for entry in entries {
                // Ends the device's access. A deinit cannot throw the backend's refusal, and there is no memory to quarantine:
                // memory mapped from a raw address belongs to the client. SAFETY: only a client could unmap it, and none is
                // left.
                _ = unsafe withdraw(entry.record)
                unsafe recycle(entry.record)
            }
        }
        space.leave(id)
        DomainNames.leave(id.rawValue)
        space.free(registry.takeSpareAddresses())
        Sanitizer.unregister(id)
    }

    /// Whether bus addresses differ from those of the CPU.
    var isTranslated: Bool { space.isTranslated }

    func reportLeaks(_ left: [LiveMapping], at call: Origin?) {
        guard Sanitizer.isEnabled else { return }
        for mapping in left {
            Sanitizer.report(
                .leak, id,
                "domain \(name): a \(mapping.kind.name) mapping of \(mapping.bytes) bytes still exists, one of \(left.count)",
                at: call, mapping: mapping.origin)
        }
    }

    // MARK: Who keeps it

    /// Counts one more ``Domain`` object. The caller has another one, or a mapping, or has just made the core.
    func addClient() {
        users.withLock { users in
            users.clients += 1
            guard users.clients == 1 else { return }
            var wasAbandoned = false
            registry.forEachShard { shard in
                guard shard.isAbandoned else { return }
                wasAbandoned = true
                shard.isAbandoned = false
                users.mappings -= Int(shard.statistics.mappings)
            }
            if wasAbandoned { users.mappings += rawMappings }
        }
    }

    /// Counts one ``Domain`` object less.
    func removeClient() {
        let isAlive = users.withLock { users in
            users.clients -= 1
            guard users.clients == 0 else { return true }
            // Mappings that end from here on are counted by the core.
            registry.forEachShard { shard in
                users.mappings += Int(shard.statistics.mappings)
                shard.isAbandoned = true
            }
            users.mappings -= rawMappings
            return users.isAlive
        }
        if !isAlive { end() }
    }

    /// Mappings from raw addresses keep nothing alive, and change only while there is a client.
    private var rawMappings: Int { raw.withLock { $0.values.reduce(0) { $0 + $1.count } } }

    /// Counts the end of a mapping in an abandoned shard. Afterwards only code that keeps the core alive may use it.
    @inline(never)
    func mappingEnded() {
        let isAlive = users.withLock { users in
            users.mappings -= 1
            return users.isAlive
        }
        if !isAlive { end() }
    }

    private func end() {
        // SAFETY: balances the retain in `init`, once: adding a client needs another client or a live mapping, so that `isAlive` does not become
        // true again.
        unsafe Unmanaged.passUnretained(self).release()
    }
}
