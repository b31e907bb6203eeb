// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import Synchronization

/// What a ``Domain`` is beneath the objects that clients have: it lives until the last of them and the last mapping have ended.
///
/// A mapping does not retain its core: two threads that map would take turns with the cache line of the reference count, which made two
/// threads slower than one. The core retains itself, and counts its mappings only once the last client has gone. Until then each shard
/// knows how many it has.
final class DomainCore: Sendable {
    let id: DomainID
    let name: String
    let constraints: DeviceConstraints
    let space: AddressSpace
    let rules: MappingRules
    let backend: BackendCalls
    let registry: MappingRegistry
    /// What was made from a raw address, by its first bus address. The same bytes may be mapped more than once.
    let raw = Locked<[IOVA: [RawMapping]]>([:])
    /// The fork generation of the process that made the domain.
    let generation = cdma_fork_generation()

    /// Who keeps the core.
    private struct Users {
        /// ``Domain`` objects.
        var clients = 0
        /// Without a client: mappings that have not ended. With one: those that ended before it came, and have not said so yet.
        var mappings = 0
        var isAlive: Bool { clients > 0 || mappings > 0 }
    }
    private let users = Locked(Users())

    private static let nextID = Atomic<UInt32>(1)
    private static let nextObject = Atomic<UInt64>(1)
    /// Names a parked object or a channel: never 0, never twice.
    static func nextIdentifier() -> UInt64 { nextObject.wrappingAdd(1, ordering: .relaxed).oldValue }

    /// Without a client yet: the caller adds one.
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
        // Typed mappings keep the core, so that only what was mapped from a raw address can be left.
        reportLeaks(registry.liveMappings, at: nil)
        for entries in raw.withLock({ $0 }).values {
            for entry in entries {
                // Ends the device's access. A refusal of the backend cannot be thrown from here, and there is no memory to quarantine:
                // what was mapped from a raw address belongs to the client.
                // SAFETY: only a client could unmap it, and there is none any more.
                _ = unsafe withdraw(entry.record)
                unsafe recycle(entry.record)
            }
        }
        space.leave(id)
        DomainNames.leave(id.rawValue)
        space.free(registry.takeSpareAddresses())
        Sanitizer.unregister(id)
    }

    /// Whether bus addresses are not those of the CPU.
    var isTranslated: Bool { space.isTranslated }

    func reportLeaks(_ left: [LiveMapping], at call: Origin?) {
        guard Sanitizer.isEnabled else { return }
        for mapping in left {
            Sanitizer.report(
                .leak, id,
                "domain \(name): a \(mapping.kind.name) mapping of \(mapping.bytes) bytes is left, one of \(left.count)",
                at: call, mapping: mapping.origin)
        }
    }

    // MARK: Who keeps it

    /// A ``Domain`` object more. The caller has another one, or a mapping, or has just made the core.
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

    /// A ``Domain`` object less.
    func removeClient() {
        let isAlive = users.withLock { users in
            users.clients -= 1
            guard users.clients == 0 else { return true }
            // A mapping that ends from here on says so.
            registry.forEachShard { shard in
                users.mappings += Int(shard.statistics.mappings)
                shard.isAbandoned = true
            }
            users.mappings -= rawMappings
            return users.isAlive
        }
        if !isAlive { end() }
    }

    /// What was mapped from a raw address keeps nothing, and changes only while there is a client.
    private var rawMappings: Int { raw.withLock { $0.values.reduce(0) { $0 + $1.count } } }

    /// A mapping of an abandoned shard has ended. Nothing of the core may be used afterwards by who does not keep it.
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
