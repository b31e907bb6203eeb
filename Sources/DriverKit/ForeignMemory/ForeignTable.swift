// SPDX-License-Identifier: Apache-2.0

/// One region of a peer's memory: its bus addresses, and its address in this process.
struct ForeignRegion: BitwiseCopyable, Sendable {
    /// First and last bus address.
    let start, last: UInt64
    /// The address of the first byte in this process.
    let base: UInt
    /// Bytes that were mapped for it, and are unmapped with it; 0 for memory of this process.
    let mapped: UInt64
    let rights: Rights

    /// The permissions and the access method.
    struct Rights: OptionSet, BitwiseCopyable, Sendable {
        let rawValue: UInt64
        static let read = Rights(rawValue: 1)
        static let write = Rights(rawValue: 2)
        /// Accessed only by the kernel's copies, because a page may be removed.
        static let copied = Rights(rawValue: 4)
    }
}

/// Regions by address, for lock-free readers: a directory of chunks of regions, both immutable. A change makes a new directory
/// and one or two new chunks: with n regions it copies about n ÷ 48 words of the directory, and 64 regions.
///
/// A value is an address of raw memory, or 0 for no regions. It owns nothing: the code that replaces a table frees the memory
/// in ``Change``, once no reader can use it any more.
// SAFETY: the address is 0 or that of a directory that is not freed yet, which the holder guarantees: a reader by its section
// of the gate, a writer by the lock.
@safe
struct ForeignTable {
    static let capacity = 64
    private typealias Place = (first: UInt64, chunk: UInt)

    let address: UInt

    /// A table that replaces another.
    struct Change {
        var table: ForeignTable
        /// Memory that only the old table used.
        var freed: [UInt]
    }

    // Both kinds of memory begin with the number of elements. SAFETY: made by `allocate` with that layout.
    private static func count(_ memory: UInt) -> Int {
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: memory) else { return 0 }
        return unsafe pointer.load(as: Int.self)
    }

    /// The greatest index of `count` sorted numbers that is not above `wanted`; -1 for none.
    @inline(__always)
    private static func floor(_ wanted: UInt64, _ count: Int, _ number: (Int) -> UInt64) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) / 2
            if number(middle) <= wanted { low = middle &+ 1 } else { high = middle }
        }
        return low &- 1
    }

    /// The region with the greatest start that is not above `bus`; it may end before `bus`.
    func floor(_ bus: UInt64) -> ForeignRegion? {
        // SAFETY: the directory and its chunks are alive, by the type's rule, and the indices are below the counts that they begin with.
        guard let directory = unsafe UnsafeRawPointer(bitPattern: address) else { return nil }
        let places = unsafe (directory + 16).assumingMemoryBound(to: Place.self)
        let place = Self.floor(bus, Self.count(address)) { unsafe places[$0].first }
        guard place >= 0, let chunk = unsafe UnsafeRawPointer(bitPattern: places[place].chunk) else { return nil }
        let regions = unsafe (chunk + 16).assumingMemoryBound(to: ForeignRegion.self)
        let index = Self.floor(bus, Self.count(UInt(bitPattern: chunk))) { unsafe regions[$0].start }
        return index < 0 ? nil : unsafe regions[index]
    }

    /// The region that contains `bus`.
    @inline(__always)
    func region(at bus: UInt64) -> ForeignRegion? {
        guard let region = floor(bus), region.last >= bus else { return nil }
        return region
    }

    /// Every region, in order.
    var regions: [ForeignRegion] { places.flatMap { Self.regions($0.chunk) } }

    private var places: [Place] {
        // SAFETY: as for `floor`.
        guard let directory = unsafe UnsafeRawPointer(bitPattern: address) else { return [] }
        let first = unsafe (directory + 16).assumingMemoryBound(to: Place.self)
        return unsafe Array(UnsafeBufferPointer(start: first, count: Self.count(address)))
    }

    private static func regions(_ chunk: UInt) -> [ForeignRegion] {
        // SAFETY: as for `floor`.
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: chunk) else { return [] }
        let first = unsafe (pointer + 16).assumingMemoryBound(to: ForeignRegion.self)
        return unsafe Array(UnsafeBufferPointer(start: first, count: count(chunk)))
    }

    private static func allocate<T: BitwiseCopyable>(_ elements: [T]) -> UInt {
        // SAFETY: just allocated, for the count and the elements; 16 bytes keep these aligned.
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: 16 + MemoryLayout<T>.stride * elements.count, alignment: 16)
        unsafe memory.storeBytes(of: elements.count, as: Int.self)
        unsafe elements.withUnsafeBytes { bytes in
            unsafe (memory + 16).copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(memory), byteCount: bytes.count)
        }
        return UInt(bitPattern: memory)
    }

    /// Frees memory named by a change, or a table's own.
    // SAFETY: made by `allocate`, and no reader uses it any more, as the caller guarantees.
    @unsafe
    static func free(_ memory: UInt) { unsafe UnsafeMutableRawPointer(bitPattern: memory)?.deallocate() }

    /// All memory of the table.
    var memory: [UInt] { address == 0 ? [] : places.map(\.chunk) + [address] }

    /// Adds a region, which overlaps no other.
    func inserting(_ region: ForeignRegion) -> Change {
        var places = places
        let place = max(Self.floor(region.start, places.count) { places[$0].first }, 0)
        var freed = address == 0 ? [] : [address]
        var regions: [ForeignRegion] = []
        if !places.isEmpty {
            freed.append(places[place].chunk)
            regions = Self.regions(places[place].chunk)
        }
        let index = Self.floor(region.start, regions.count) { regions[$0].start } + 1
        regions.insert(region, at: index)
        // A full chunk is split: in the middle, or behind its last region where regions come in ascending order, so that it
        // stays full.
        let part = regions.count <= Self.capacity ? regions.count : index == Self.capacity ? Self.capacity : regions.count / 2
        var made = [Self.place(regions[..<part])]
        if part < regions.count { made.append(Self.place(regions[part...])) }
        places.replaceSubrange(places.isEmpty ? 0..<0 : place..<place + 1, with: made)
        return Change(table: ForeignTable(address: Self.allocate(places)), freed: freed)
    }

    /// Removes the region that begins at `start`, which exists.
    func removing(_ start: UInt64) -> Change {
        var places = places
        let place = Self.floor(start, places.count) { places[$0].first }
        guard place >= 0 else { return Change(table: self, freed: []) }
        var freed = [address, places[place].chunk]
        var regions = Self.regions(places[place].chunk)
        regions.removeAll { $0.start == start }
        // Small adjacent chunks are merged, so that removals shrink the directory.
        var range = place..<place + 1
        if place + 1 < places.count, regions.count + Self.count(places[place + 1].chunk) <= Self.capacity / 2 {
            regions += Self.regions(places[place + 1].chunk)
            freed.append(places[place + 1].chunk)
            range = place..<place + 2
        }
        places.replaceSubrange(range, with: regions.isEmpty ? [] : [Self.place(regions[...])])
        return Change(table: ForeignTable(address: places.isEmpty ? 0 : Self.allocate(places)), freed: freed)
    }

    private static func place(_ regions: ArraySlice<ForeignRegion>) -> Place {
        (regions.first?.start ?? 0, allocate(Array(regions)))
    }
}
