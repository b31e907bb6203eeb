// SPDX-License-Identifier: Apache-2.0

import DMACore

/// A reference model of a table of foreign memory: a list with linear search, and arrays for the peer's bytes.
struct ForeignModel {
    struct Region {
        let start, last: UInt64
        let access: DeviceAccess
        /// The one of ``stores`` that it leads to, and the offset in it.
        let store: Int
        let offset: Int
    }

    static let page = 4096
    static let maximumRegions = 12
    static let maximumCount: UInt64 = 1 << 16

    var regions: [Region] = []
    /// The peer's file, and memory of this process.
    var stores: [[UInt8]]

    // MARK: Regions

    /// The error of an insertion; nil where it succeeds.
    mutating func insert(
        _ start: UInt64, _ count: UInt64, _ access: DeviceAccess, store: Int, offset: UInt64, isFile: Bool
    ) -> DMAError.Code? {
        if count == 0 { return .zeroLength }
        if count > Self.maximumCount { return .mappingTooLarge }
        if start.addingReportingOverflow(count - 1).overflow { return .sizeOverflow }
        if isFile {
            if offset % UInt64(Self.page) != 0 { return .misaligned }
            let (end, overflow) = offset.addingReportingOverflow(count)
            if overflow || end > UInt64(stores[store].count) { return .outOfRange }
        }
        if regions.count >= Self.maximumRegions { return .tooManyRegions }
        let last = start + (count - 1)
        if regions.contains(where: { $0.start <= last && start <= $0.last }) { return .alreadyMapped }
        regions.append(Region(start: start, last: last, access: access, store: store, offset: Int(offset)))
        return nil
    }

    mutating func remove(_ start: UInt64, _ count: UInt64) -> DMAError.Code? {
        guard let index = regions.firstIndex(where: { $0.start == start }) else { return .notMapped }
        guard regions[index].last - start &+ 1 == count else { return .unmapMismatch }
        regions.remove(at: index)
        return nil
    }

    private func region(_ bus: UInt64) -> Region? { regions.first { $0.start <= bus && bus <= $0.last } }

    // MARK: Accesses

    /// The error of an access to each of `count` bytes.
    private func refusal(_ start: UInt64, _ count: Int, _ access: DeviceAccess) -> DMAError.Code? {
        guard count > 0 else { return nil }
        if start.addingReportingOverflow(UInt64(count - 1)).overflow { return .sizeOverflow }
        for place in 0..<UInt64(count) {
            guard let region = region(start + place) else { return .unmappedAddress }
            if !region.access.contains(access) { return .noPermission }
        }
        return nil
    }

    private func place(_ bus: UInt64) -> (store: Int, offset: Int)? {
        region(bus).map { ($0.store, $0.offset + Int(bus - $0.start)) }
    }

    func read(_ start: UInt64, _ count: Int) -> Result<[UInt8], Refusal> {
        if let refusal = refusal(start, count, .read) { return .failure(Refusal(refusal)) }
        return .success((0..<UInt64(count)).map { step in place(start + step).map { stores[$0.store][$0.offset] } ?? 0 })
    }

    mutating func write(_ bytes: [UInt8], _ start: UInt64) -> DMAError.Code? {
        if let refusal = refusal(start, bytes.count, .write) { return refusal }
        for (step, byte) in bytes.enumerated() {
            guard let place = place(start + UInt64(step)) else { continue }
            stores[place.store][place.offset] = byte
        }
        return nil
    }

    /// A word of `width` bytes, which must lie in one region.
    func refusal(word start: UInt64, _ width: Int, _ access: DeviceAccess, isAtomic: Bool = false) -> DMAError.Code? {
        guard let region = region(start), region.last - start >= UInt64(width - 1) else { return .unmappedAddress }
        if !region.access.isSuperset(of: access) { return .noPermission }
        // Both stores begin at a page.
        if (region.offset + Int(start - region.start)) % width != 0 { return .misaligned }
        return isAtomic && width < 4 ? .unsupportedOperation : nil
    }

    /// 0 where the word is not completely inside the store: then it is refused.
    func word(_ start: UInt64, _ width: Int) -> UInt64 {
        guard let place = place(start), place.offset + width <= stores[place.store].count else { return 0 }
        return (0..<width).reduce(0) { $0 | UInt64(stores[place.store][place.offset + $1]) << UInt64(8 * $1) }
    }

    mutating func store(_ value: UInt64, _ start: UInt64, _ width: Int) {
        guard let place = place(start) else { return }
        for byte in 0..<width {
            stores[place.store][place.offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
        }
    }

    struct Refusal: Error {
        let code: DMAError.Code
        init(_ code: DMAError.Code) { self.code = code }
    }
}
