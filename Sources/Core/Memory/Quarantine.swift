// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// Memory that a device may still write, because the device could not be stopped: neither unmapped nor freed (rule 18).
///
/// A channel whose engine does not quiesce moves its engine, its operand lists and the cargo in flight here; a mapping is moved
/// here when its backend refuses to unmap it. An entry stays until it is released by code that has stopped the device, or until
/// its backend has proved that the mapping reaches nothing any more.
///
/// Thread rules: all functions may be called from any thread.
public enum Quarantine {
    /// One quarantined mapping, or the remains of one channel.
    public struct Entry: Sendable {
        /// Unique in this process; identifies the entry for ``Quarantine/unsafeRelease(_:)``.
        public let identifier: UInt64
        /// The address space of the mapping.
        public let domain: DomainID
        /// The ranges that the device may still reach.
        public let ranges: [MappedRange]
        /// Bytes of all ranges.
        public var bytes: UInt64 { ranges.reduce(0) { $0 &+ $1.count } }
        /// The source file that made the mapping; empty for the remains of a channel.
        public let file: String
        /// The line of ``file``.
        public let line: UInt
    }

    private static let parked = Locked<[UInt64: ParkedObject]>([:])

    /// Number of entries.
    public static var count: Int { parked.withLock { $0.count } }

    /// Bytes that devices may still reach.
    public static var bytes: UInt64 { entries.reduce(0) { $0 &+ $1.bytes } }

    /// The entries, oldest first.
    public static var entries: [Entry] {
        let all = parked.withLock { Array($0.values) }
        return all.sorted { $0.identifier < $1.identifier }.map { object in
            Entry(
                identifier: object.identifier, domain: object.domain, ranges: object.ranges,
                file: object.origin?.file.description ?? "", line: object.origin?.line ?? 0)
        }
    }

    @usableFromInline
    static func park(_ object: ParkedObject) {
        parked.withLock { $0[object.identifier] = object }
        Sanitizer.countQuarantined(object.domain)
        Sanitizer.report(
            .quarantined, object.domain,
            "\(object.ranges.reduce(0) { $0 &+ $1.count }) bytes are in quarantine, because their device could not be stopped",
            mapping: object.origin)
    }

    /// Unmaps one entry and frees its memory; the engine of a quarantined channel ends.
    ///
    /// The caller vouches that the device was stopped since (for instance by a reset) and can no longer write there. If that is
    /// wrong, the device overwrites memory that is in use by then.
    /// - Throws: `notMapped` where there is no such entry; the backend's error if it refuses again: the entry stays.
    @unsafe
    public static func unsafeRelease(_ identifier: UInt64) throws(DMAError) { try release(identifier) }

    /// Unmaps and frees everything of one address space, after its device was reset.
    ///
    /// The caller vouches as for ``unsafeRelease(_:)``.
    /// - Returns: the number of released entries.
    /// - Throws: the first refusal of the backend; the other entries are released in any case.
    @unsafe @discardableResult
    public static func unsafeReleaseAll(of domain: DomainID) throws(DMAError) -> Int {
        try releaseAll { $0.domain == domain }
    }

    /// Frees memory that can no longer be reached: entries whose backend has proved its mappings dead
    /// (`MappingBackend.isDead`), because the device was removed or the peer has ended. Safe at any time.
    ///
    /// - Returns: the number of released entries.
    @discardableResult
    public static func releaseDead() -> Int {
        // A dead backend refuses nothing: a failed unmap counts as done.
        (try? releaseAll { $0.isDead }) ?? 0
    }

    private static func releaseAll(where condition: (ParkedObject) -> Bool) throws(DMAError) -> Int {
        let objects = parked.withLock { Array($0.values) }
        var released = 0
        var refusal: DMAError?
        for object in objects.sorted(by: { $0.identifier < $1.identifier }) where condition(object) {
            do throws(DMAError) {
                try release(object.identifier)
                released += 1
            } catch {
                // A missing entry was released by another thread in the meantime.
                if error.code != .notMapped { refusal = refusal ?? error }
            }
        }
        if let refusal { throw refusal }
        return released
    }

    private static func release(_ identifier: UInt64) throws(DMAError) {
        // Removed before it is released, so that two threads cannot release it twice.
        guard let object = parked.withLock({ $0.removeValue(forKey: identifier) }) else {
            throw DMAError(.notMapped, asked: identifier)
        }
        do throws(DMAError) {
            try object.release()
        } catch {
            parked.withLock { $0[identifier] = object }
            throw error
        }
    }
}

/// An object that the quarantine keeps alive.
// SAFETY: it is immutable; subclasses change their own state only in `release`, which the quarantine calls on one thread at a
// time.
@usableFromInline
class ParkedObject: @unchecked Sendable {
    let identifier = DomainCore.nextIdentifier()
    let domain: DomainID
    let ranges: [MappedRange]
    var origin: Origin? { nil }
    /// Whether nothing can reach the memory any more.
    var isDead: Bool { false }

    init(domain: DomainID, ranges: [MappedRange]) {
        self.domain = domain
        self.ranges = ranges
    }

    /// Unmaps what must be unmapped explicitly; the rest is freed with the object.
    func release() throws(DMAError) {}
}

/// A mapping that its backend refused to end, or whose owner has called `quarantine()`.
// SAFETY: only `release` changes the record, and the quarantine calls it on one thread at a time.
@safe
final class ParkedMapping: ParkedObject, @unchecked Sendable {
    private let core: DomainCore
    private let record: UnsafeMutablePointer<MappingRecord>
    private let made: Origin

    /// The caller transfers the record, which belongs to that domain.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>, in core: DomainCore) {
        // SAFETY: only this object has the record now, and it keeps the core in which the record lies. A mapping that keeps its
        // core counts as typed.
        unsafe self.record = unsafe record
        self.core = core
        unsafe record.pointee.isRaw = false
        made = unsafe record.pointee.origin
        super.init(domain: core.id, ranges: unsafe record.pointee.regionWords.map { MappedRange($0) })
    }

    override var origin: Origin? { made }
    override var isDead: Bool { core.space.backend?.isDead ?? false }

    override func release() throws(DMAError) {
        // SAFETY: the quarantine calls this on one thread at a time, and not again once it has returned.
        if let error = unsafe core.withdraw(record) { throw error }
        unsafe core.recycle(record)
    }
}
