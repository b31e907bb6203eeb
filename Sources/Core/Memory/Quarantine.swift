// SPDX-License-Identifier: Apache-2.0

/// Memory that a device may still write, because the device could not be stopped: neither unmapped nor given back (rule 18).
///
/// A mapping comes here when it ends after its ``Cargo/quarantine()`` was called, or when the backend refused to unmap it. It
/// stays until somebody who has stopped the device says so.
///
/// Thread rules: everything here may be called from any thread.
public enum Quarantine {
    /// One parked mapping.
    public struct Entry: Sendable {
        /// Unique in this process; names the entry to ``Quarantine/unsafeRelease(_:)``.
        public let identifier: UInt64
        /// The address space that it was mapped in.
        public let domain: DomainID
        /// What the device may still reach.
        public let regions: [Region]
        /// Bytes as they were mapped.
        public let bytes: UInt64
        /// Where the mapping was made.
        public let file: String
        /// The line of ``file``.
        public let line: UInt
    }

    private struct Parked: Sendable {
        let domain: Domain
        var core: MappingCore
    }

    private static let parked = Locked<[UInt64: Parked]>([:])

    /// Number of mappings parked.
    public static var count: Int { parked.withLock { $0.count } }

    /// Bytes parked, as they were mapped.
    public static var bytes: UInt64 { parked.withLock { $0.values.reduce(0) { $0 + $1.core.byteCount } } }

    /// What is parked, oldest mapping first.
    public static var entries: [Entry] {
        let all = parked.withLock { Array($0.values) }
        return all.sorted { $0.core.identifier < $1.core.identifier }.map { parked in
            Entry(
                identifier: parked.core.identifier, domain: parked.domain.id, regions: parked.core.regions,
                bytes: parked.core.byteCount, file: parked.core.origin.file.description, line: parked.core.origin.line)
        }
    }

    static func park(_ core: MappingCore, of domain: Domain) {
        parked.withLock { $0[core.identifier] = Parked(domain: domain, core: core) }
    }

    /// Unmaps one entry and gives its memory back.
    ///
    /// The caller vouches that the device was stopped since (by a reset, say) and can no longer write there. If that is wrong,
    /// it writes over memory that belongs to somebody else by then.
    /// - Throws: `notMapped` where there is no such entry; what the backend says, if it refuses again: the entry stays.
    @unsafe
    public static func unsafeRelease(_ identifier: UInt64) throws(DMAError) {
        guard let found = parked.withLock({ $0.removeValue(forKey: identifier) }) else {
            throw DMAError(.notMapped, asked: identifier)
        }
        var core = found.core
        if let error = found.domain.withdraw(&core) {
            parked.withLock { $0[identifier] = Parked(domain: found.domain, core: core) }
            throw error
        }
        found.domain.unregister(core, copied: 0)
    }

    /// Unmaps and gives back everything of one address space, for when its device was reset.
    ///
    /// The caller vouches as for ``unsafeRelease(_:)``.
    /// - Returns: how many entries were released.
    /// - Throws: the first refusal of the backend; the other entries are released all the same.
    @unsafe @discardableResult
    public static func unsafeReleaseAll(of domain: DomainID) throws(DMAError) -> Int {
        let identifiers = parked.withLock { all in all.filter { $0.value.domain.id == domain }.map(\.key) }
        var released = 0
        var refusal: DMAError?
        for identifier in identifiers {
            do throws(DMAError) {
                try unsafe unsafeRelease(identifier)
                released += 1
            } catch {
                // What is not there any more was released by another thread in the meantime.
                if error.code != .notMapped { refusal = refusal ?? error }
            }
        }
        if let refusal { throw refusal }
        return released
    }
}
