// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import Synchronization

/// A mapping that was split into parts: each keeps it alive, and the last ends it.
// SAFETY: the record changes when this object ends, or when the one part that has all of it ends it.
@safe
final class WholeMapping: @unchecked Sendable {
    private let record: UnsafeMutablePointer<MappingRecord>
    /// Bytes of the mapping's one entry, counted from its own beginning.
    let range: Range<Int>
    private let lost = Atomic(false)
    private var hasEnded = false

    /// The caller transfers the record.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: only this object has the record now.
        unsafe self.record = unsafe record
        range = 0..<(unsafe record.pointee.entry(at: 0).count)
    }

    deinit {
        if hasEnded { return }
        // SAFETY: no part is left.
        let mapping = unsafe Mapping(record)
        if hasLostPart { mapping.quarantine() }
    }

    /// Whether a part was quarantined. Several threads may use parts.
    var hasLostPart: Bool { lost.load(ordering: .acquiring) }

    /// Makes a part with a record of its own.
    ///
    /// - Parameter range: bytes of the whole, not empty.
    func part(_ range: Range<Int>) -> Mapping {
        // SAFETY: the new record is initialized as a whole, and freed by `endPart`. The whole's record, which this object
        // keeps, is only read.
        let memory = UnsafeMutablePointer<MappingRecord>.allocate(capacity: 1)
        unsafe memory.initialize(to: MappingRecord(shard: 0, of: record.pointee.core, at: memory))
        unsafe memory.pointee.kind = record.pointee.kind
        unsafe memory.pointee.direction = record.pointee.direction
        unsafe memory.pointee.origin = record.pointee.origin
        unsafe memory.pointee.byteCount = UInt64(range.count)
        unsafe memory.pointee.whole = Unmanaged.passRetained(self)
        var entry = unsafe record.pointee.entry(at: 0)
        entry.cpuAddress &+= UInt64(range.lowerBound)
        entry.deviceAddress &+= UInt64(range.lowerBound)
        entry.count = range.count
        unsafe memory.pointee.entry = entry
        var regions: [BusRange] = []
        var before: UInt64 = 0
        for region in unsafe record.pointee.regionWords {
            let low = max(UInt64(range.lowerBound), before)
            let high = min(UInt64(range.upperBound), before &+ region.count)
            if low < high { regions.append(BusRange(start: region.start &+ (low - before), count: high - low)) }
            before &+= region.count
        }
        let key = unsafe record.pointee.regions[0].key
        if regions.count == 1 {
            unsafe memory.pointee.only = RegionWords(start: regions[0].start, count: regions[0].count, key: key)
        } else {
            let parts = MappingParts()
            parts.setRegions(regions, key: key)
            parts.makeLists()
            unsafe memory.pointee.parts = parts
            if let words = unsafe parts.regions { unsafe memory.pointee.regions = unsafe words }
        }
        unsafe memory.pointee.regionCount = regions.count
        return unsafe Mapping(memory)
    }

    /// The position of a part's bytes in the whole.
    func range(of part: MappedEntry) -> Range<Int> {
        // SAFETY: as for `part`.
        let start = Int(truncatingIfNeeded: part.cpuAddress &- (unsafe record.pointee.entry(at: 0).cpuAddress))
        return start..<start + part.count
    }

    /// Ends a part: the memory is freed only when all parts have ended.
    @unsafe
    static func endPart(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: only the caller has the part's record, which `part` has made.
        let whole = unsafe record.pointee.whole
        if unsafe record.pointee.isQuarantined { unsafe whole?.takeUnretainedValue().lost.store(true, ordering: .releasing) }
        unsafe record.deinitialize(count: 1)
        unsafe record.deallocate()
        unsafe whole?.release()
    }

    /// Ends the mapping, for the part that has all of it.
    ///
    /// - Throws: errors of the backend.
    @unsafe
    static func end(by record: UnsafeMutablePointer<MappingRecord>) throws(DMAError) -> Unmanaged<Memory>? {
        // SAFETY: as above; there is no other part. What is read of the whole is held here.
        let whole = unsafe record.pointee.whole.unsafelyUnwrapped.takeUnretainedValue()
        whole.hasEnded = true
        let own = unsafe Mapping(whole.record)
        unsafe endPart(record)
        return unsafe try own.end()
    }
}

extension Mapping {
    /// For a part: its bytes in the whole mapping, which has one entry.
    var byteRange: Range<Int> {
        // SAFETY: this value owns the record, which keeps the whole.
        guard let whole = unsafe record.pointee.whole?.takeUnretainedValue() else { return 0..<firstEntry.count }
        return whole.range(of: firstEntry)
    }

    /// The whole mapping of a part; for any other mapping, a new whole mapping from it. The caller makes parts of it.
    consuming func intoWhole() -> WholeMapping {
        // SAFETY: `deinit` does not run: the record is transferred, or ended.
        let record = unsafe self.record
        discard self
        guard let whole = unsafe record.pointee.whole?.takeUnretainedValue() else { return unsafe WholeMapping(record) }
        unsafe WholeMapping.endPart(record)
        return whole
    }

    /// Whether both are parts of one mapping.
    func isPart(with other: borrowing Mapping) -> Bool {
        // SAFETY: both records are alive.
        guard let whole = unsafe record.pointee.whole, let its = unsafe other.record.pointee.whole else { return false }
        return unsafe whole.toOpaque() == its.toOpaque()
    }
}
