// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMATypes

// Copies and single words. Each finds the region, checks the permission and the bounds, and transfers, all between entering and
// leaving the gate, so that the region stays mapped.

extension ForeignMemory {
    /// The maximum number of bytes copied in one access, which bounds the wait of a removal. A longer copy looks its region up
    /// again after each.
    static let piece: UInt64 = 1 << 18

    // MARK: Copies

    /// Copies bytes of the peer into the caller's memory, across adjacent regions.
    ///
    /// Where the region is mapped, each aligned word of 8 bytes is read with one access, in ascending order; bytes at the ends
    /// with accesses of 4, 2 and 1. Each byte is read once: check the copy, and use the copy.
    ///
    /// - Parameters:
    ///   - start: the first bus address.
    ///   - bytes: filled. Nothing happens where it is empty.
    /// - Throws: `sizeOverflow` for a range beyond the 64-bit space, `unmappedAddress` with the first address outside every
    ///   region, `noPermission`, all before a byte is moved; `unmappedAddress` also where a region is removed meanwhile, and
    ///   `kernelRefused` (EFAULT) where the peer has removed a page, after some bytes: those are then in `bytes`.
    ///   `usedAfterFork`.
    public borrowing func read(_ start: IOVA, into bytes: inout MutableRawSpan) throws(DMAError) {
        // SAFETY: `move` stays inside the memory that is passed to it.
        unsafe try bytes.withUnsafeMutableBytes { (bytes) throws(DMAError) in
            guard let base = bytes.baseAddress else { return }
            unsafe try move(start.rawValue, base, UInt64(bytes.count), .read)
        }
    }

    /// Copies the caller's bytes into the peer's memory, with the rules of ``read(_:into:)``.
    ///
    /// The peer may see the bytes in any order. Write the word that marks them as valid afterwards, with
    /// ``storeRelease(_:at:)``.
    public borrowing func write(_ bytes: RawSpan, at start: IOVA) throws(DMAError) {
        // SAFETY: `move` stays inside the memory that is passed to it, and only reads it where the right is that of writing to
        // the peer.
        unsafe try bytes.withUnsafeBytes { (bytes) throws(DMAError) in
            guard let base = bytes.baseAddress else { return }
            unsafe try move(start.rawValue, UnsafeMutableRawPointer(mutating: base), UInt64(bytes.count), .write)
        }
    }

    /// - Parameter right: `read` writes to `own`, `write` reads from it.
    @unsafe
    private borrowing func move(
        _ start: UInt64, _ own: UnsafeMutableRawPointer, _ count: UInt64, _ right: ForeignRegion.Rights
    ) throws(DMAError) {
        try checkProcess()
        guard count > 0 else { return }
        let (last, overflow) = start.addingReportingOverflow(count - 1)
        guard !overflow else { throw DMAError(.sizeOverflow, asked: count, limit: .max - start) }
        var moved: UInt64 = 0
        // Terminates: each iteration moves at least one byte, or throws.
        while moved < count {
            // SAFETY: the moved bytes lie inside the region and inside the `count` bytes that the caller vouches for.
            let section = gate.enter()
            let table = ForeignTable(address: gate.root)
            let found = moved == 0 ? Self.refusal(table, start, last, right) : nil
            let result =
                if let found { Result<UInt64, DMAError>.failure(found) } else {
                    unsafe Self.movePiece(table, start + moved, own + Int(moved), count - moved, right)
                }
            gate.leave(section)
            moved += try result.get()
        }
    }

    /// Why a range cannot be accessed; nil where it can.
    private static func refusal(
        _ table: ForeignTable, _ start: UInt64, _ last: UInt64, _ right: ForeignRegion.Rights
    ) -> DMAError? {
        var bus = start
        // Terminates: each iteration continues after a region.
        while true {
            guard let region = table.region(at: bus) else { return DMAError(.unmappedAddress, asked: bus) }
            guard region.rights.contains(right) else { return DMAError(.noPermission) }
            if region.last >= last { return nil }
            bus = region.last + 1
        }
    }

    /// Transfers up to the end of one region, at most ``piece`` bytes. Returns how many.
    @unsafe
    private static func movePiece(
        _ table: ForeignTable, _ bus: UInt64, _ own: UnsafeMutableRawPointer, _ count: UInt64, _ right: ForeignRegion.Rights
    ) -> Result<UInt64, DMAError> {
        guard let region = table.region(at: bus) else { return .failure(DMAError(.unmappedAddress, asked: bus)) }
        guard region.rights.contains(right) else { return .failure(DMAError(.noPermission)) }
        let room = Int(min(count, piece, region.last - bus + 1))
        // SAFETY: the region contains the address, and `room` bytes from there to its end; it is mapped until the caller leaves
        // the gate.
        guard let foreign = unsafe UnsafeMutableRawPointer(bitPattern: region.base + UInt(bus - region.start)) else {
            return .failure(DMAError(.unmappedAddress, asked: bus))
        }
        if !region.rights.contains(.copied) {
            if right == .read {
                unsafe cdma_foreign_read(own, foreign, room)
            } else {
                unsafe cdma_foreign_write(foreign, own, room)
            }
            return .success(UInt64(room))
        }
        let copied = unsafe right == .read ? cdma_foreign_fetch(own, foreign, room) : cdma_foreign_put(foreign, own, room)
        guard copied > 0 else { return .failure(DMAError(.kernelRefused, errno: copied < 0 ? Int32(-copied) : EFAULT)) }
        return .success(UInt64(copied))
    }

    // MARK: Words

    /// Reads one word of the peer with one access of its width, without ordering.
    ///
    /// - Parameters:
    ///   - address: of the word. Its address in this process must be a multiple of the width.
    ///   - type: the word's type, which sets its width.
    /// - Throws: `unmappedAddress`, `noPermission`, `misaligned`, `copiesOnly` for a region that only the kernel may access,
    ///   `usedAfterFork`. A word that spans two regions is refused with `unmappedAddress` and the first address of the second.
    @inlinable
    public borrowing func load<T: SharedWord>(at address: IOVA, as type: T.Type) throws(DMAError) -> T {
        T(truncatingIfNeeded: try access(.load, address.rawValue, MemoryLayout<T>.size))
    }

    /// Reads one word with acquire ordering: later accesses of this thread stay after it. For the word that marks an entry as
    /// valid. Errors as for ``load(at:as:)``.
    @inlinable
    public borrowing func loadAcquire<T: SharedWord>(at address: IOVA, as type: T.Type) throws(DMAError) -> T {
        T(truncatingIfNeeded: try access(.loadAcquire, address.rawValue, MemoryLayout<T>.size))
    }

    /// Writes one word with one access of its width, without ordering. Errors as for ``load(at:as:)``.
    @inlinable
    public borrowing func store<T: SharedWord>(_ value: T, at address: IOVA) throws(DMAError) {
        _ = try access(.store, address.rawValue, MemoryLayout<T>.size, UInt64(truncatingIfNeeded: value))
    }

    /// Writes one word with release ordering, after every earlier access of this thread. For the word that marks an entry as
    /// valid, such as the one with an NVMe completion's phase bit. Errors as for ``load(at:as:)``.
    @inlinable
    public borrowing func storeRelease<T: SharedWord>(_ value: T, at address: IOVA) throws(DMAError) {
        _ = try access(.storeRelease, address.rawValue, MemoryLayout<T>.size, UInt64(truncatingIfNeeded: value))
    }

    /// Adds to a word of 32 or 64 bits, atomically and sequentially consistent, and returns the old value. Needs read and write
    /// permission.
    ///
    /// - Throws: as ``load(at:as:)``; `unsupportedOperation` for words of 8 and 16 bits.
    @inlinable
    public borrowing func fetchAdd<T: SharedWord>(_ value: T, at address: IOVA) throws(DMAError) -> T {
        T(truncatingIfNeeded: try access(.fetchAdd, address.rawValue, MemoryLayout<T>.size, UInt64(truncatingIfNeeded: value)))
    }

    /// Writes `desired` if the word is `expected`, atomically and sequentially consistent, and returns the old value: the
    /// exchange took place if that equals `expected`. Errors as for ``fetchAdd(_:at:)``.
    @inlinable
    public borrowing func compareExchange<T: SharedWord>(
        at address: IOVA, expected: T, desired: T
    ) throws(DMAError) -> T {
        T(
            truncatingIfNeeded: try access(
                .compareExchange, address.rawValue, MemoryLayout<T>.size, UInt64(truncatingIfNeeded: desired),
                UInt64(truncatingIfNeeded: expected)))
    }

    @usableFromInline
    enum WordAccess { case load, loadAcquire, store, storeRelease, fetchAdd, compareExchange }

    /// One access of `width` bytes: returns the value read, or `value`.
    @usableFromInline
    borrowing func access(
        _ kind: WordAccess, _ bus: UInt64, _ width: Int, _ value: UInt64 = 0, _ expected: UInt64 = 0
    ) throws(DMAError) -> UInt64 {
        try checkProcess()
        let section = gate.enter()
        let result = Self.access(ForeignTable(address: gate.root), kind, bus, width, value, expected)
        gate.leave(section)
        return try result.get()
    }

    @inline(__always)
    private static func access(
        _ table: ForeignTable, _ kind: WordAccess, _ bus: UInt64, _ width: Int, _ value: UInt64, _ expected: UInt64
    ) -> Result<UInt64, DMAError> {
        guard let region = table.region(at: bus) else { return .failure(DMAError(.unmappedAddress, asked: bus)) }
        guard region.last - bus >= UInt64(width) - 1 else {
            return .failure(DMAError(.unmappedAddress, asked: region.last &+ 1))
        }
        let right: ForeignRegion.Rights =
            switch kind {
            case .load, .loadAcquire: .read
            case .store, .storeRelease: .write
            case .fetchAdd, .compareExchange: [.read, .write]
            }
        guard region.rights.contains(right) else { return .failure(DMAError(.noPermission)) }
        guard !region.rights.contains(.copied) else { return .failure(DMAError(.copiesOnly, asked: bus)) }
        let place = region.base + UInt(bus - region.start)
        guard place % UInt(width) == 0 else { return .failure(DMAError(.misaligned, asked: bus, limit: UInt64(width))) }
        // SAFETY: the word lies inside the region, is aligned to its width, and stays mapped until the caller leaves the gate.
        guard let word = unsafe UnsafeMutableRawPointer(bitPattern: place) else {
            return .failure(DMAError(.unmappedAddress, asked: bus))
        }
        switch (kind, width) {
        case (.load, 1): return unsafe .success(UInt64(cdma_foreign_load8(word)))
        case (.load, 2): return unsafe .success(UInt64(cdma_foreign_load16(word)))
        case (.load, 4): return unsafe .success(UInt64(cdma_foreign_load32(word)))
        case (.load, _): return unsafe .success(cdma_foreign_load64(word))
        case (.loadAcquire, 1): return unsafe .success(UInt64(cdma_foreign_load_acquire8(word)))
        case (.loadAcquire, 2): return unsafe .success(UInt64(cdma_foreign_load_acquire16(word)))
        case (.loadAcquire, 4): return unsafe .success(UInt64(cdma_foreign_load_acquire32(word)))
        case (.loadAcquire, _): return unsafe .success(cdma_foreign_load_acquire64(word))
        case (.store, 1): unsafe cdma_foreign_store8(word, UInt8(truncatingIfNeeded: value))
        case (.store, 2): unsafe cdma_foreign_store16(word, UInt16(truncatingIfNeeded: value))
        case (.store, 4): unsafe cdma_foreign_store32(word, UInt32(truncatingIfNeeded: value))
        case (.store, _): unsafe cdma_foreign_store64(word, value)
        case (.storeRelease, 1): unsafe cdma_foreign_store_release8(word, UInt8(truncatingIfNeeded: value))
        case (.storeRelease, 2): unsafe cdma_foreign_store_release16(word, UInt16(truncatingIfNeeded: value))
        case (.storeRelease, 4): unsafe cdma_foreign_store_release32(word, UInt32(truncatingIfNeeded: value))
        case (.storeRelease, _): unsafe cdma_foreign_store_release64(word, value)
        case (.fetchAdd, 4): return unsafe .success(UInt64(cdma_fetch_add32(word, UInt32(truncatingIfNeeded: value))))
        case (.fetchAdd, 8): return unsafe .success(cdma_fetch_add64(word, value))
        case (.compareExchange, 4):
            return unsafe .success(
                UInt64(
                    cdma_foreign_compare_exchange32(
                        word, UInt32(truncatingIfNeeded: expected), UInt32(truncatingIfNeeded: value))))
        case (.compareExchange, 8): return unsafe .success(cdma_foreign_compare_exchange64(word, expected, value))
        case (.fetchAdd, _), (.compareExchange, _): return .failure(DMAError(.unsupportedOperation))
        }
        return .success(value)
    }
}
