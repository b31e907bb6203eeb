// SPDX-License-Identifier: Apache-2.0

public import CDMA
public import DMACore

/// Coherent memory as a ring of equal entries, for drivers: descriptors, completions.
///
/// The number of entries is a power of two and every index is taken modulo it, so that no index is out of bounds, and none is
/// refused. A driver writes a ring in this order (rule 37): the entry with ``write(_:at:)``, then
/// `CoherentBuffer.writeBarrier()`, then the word that makes it valid: the doorbell, or the entry's own first word with
/// ``publish(_:at:word:)``.
///
/// The device may write anything, so an entry must be a type for which every bit pattern is valid: ``SharedPattern``.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe @frozen
public struct RingMemory<Element: SharedPattern>: ~Copyable {
    // The pointer leads into `memory`, which cannot be replaced while this value lives.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let mask: Int
    @usableFromInline var coherent: CoherentBuffer

    /// Takes ownership of coherent memory.
    ///
    /// - Parameters:
    ///   - memory: at least `count` entries long.
    ///   - count: number of entries, a power of two.
    /// - Throws: `badAlignment` for a count that is no power of two, `zeroLength` for an element of no size, `outOfRange` where
    ///   the memory is too short, `misaligned` where it is aligned less than `Element`. The memory is freed then.
    public init(_ memory: consuming CoherentBuffer, count: Int) throws(DMAError) {
        _ = Element.bitValidity
        let stride = MemoryLayout<Element>.stride
        guard MemoryLayout<Element>.size > 0 else { throw DMAError(.zeroLength) }
        guard count > 0, count & (count - 1) == 0 else {
            throw DMAError(.badAlignment, asked: UInt64(UInt(bitPattern: count)), limit: 1 << 62)
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: stride)
        guard !overflow, bytes <= memory.count else {
            throw DMAError(.outOfRange, asked: overflow ? .max : UInt64(bytes), limit: UInt64(memory.count))
        }
        // SAFETY: the pointer is used as long as `memory` lives, which this value owns.
        let start = unsafe memory.unsafeBase
        guard UInt(bitPattern: start) % UInt(MemoryLayout<Element>.alignment) == 0 else {
            throw DMAError(.misaligned, asked: UInt64(UInt(bitPattern: start)), limit: UInt64(MemoryLayout<Element>.alignment))
        }
        unsafe base = start
        mask = count - 1
        coherent = memory
    }

    /// Ends the ring and returns its memory.
    @inlinable
    public consuming func takeMemory() -> CoherentBuffer { coherent }

    /// States that the device could not be stopped: when the ring ends, its memory goes to the `Quarantine` (rule 18).
    public mutating func quarantine() { coherent.quarantine() }

    /// The bus address of the ring.
    @inlinable
    public var iova: IOVA { coherent.iova }

    /// Number of entries.
    @inlinable
    public var count: Int { mask &+ 1 }

    /// The bus address of entry `index` (modulo ``count``).
    @inlinable
    public func address(of index: Int) -> IOVA {
        IOVA(coherent.iova.rawValue &+ UInt64((index & mask) &* MemoryLayout<Element>.stride))
    }

    /// Writes entry `index` (modulo ``count``) as a whole. The device may see its bytes in any order until a barrier.
    @inlinable
    public mutating func write(_ element: Element, at index: Int) {
        // SAFETY: the mask keeps the index inside the entries, which the initializer measured against the memory.
        unsafe (base + (index & mask) &* MemoryLayout<Element>.stride).storeBytes(of: element, as: Element.self)
    }

    /// Reads entry `index` (modulo ``count``) as a whole: after its valid word was read by ``word(_:at:as:)`` and a read
    /// barrier. The device may write meanwhile: check the value that was read once, and do not read it again.
    @inlinable
    public borrowing func read(at index: Int) -> Element {
        // SAFETY: as for `write`; every bit pattern is a valid element.
        unsafe (base + (index & mask) &* MemoryLayout<Element>.stride).load(as: Element.self)
    }

    /// Reads one word of entry `index` (modulo ``count``) with one access, before all later accesses.
    ///
    /// - Parameters:
    ///   - word: its number in the entry, in units of its width; nil is returned where the entry has no such word.
    ///   - index: number of the entry.
    ///   - type: the word's type, which sets its width.
    @inlinable
    public borrowing func word<T: SharedWord>(_ word: Int, at index: Int, as type: T.Type) -> T? {
        // SAFETY: `place` returns addresses inside the ring, aligned to the width.
        guard let place = unsafe place(word, index, MemoryLayout<T>.size) else { return nil }
        let value = unsafe T.volatileLoad(place)
        cdma_read_barrier()
        return value
    }

    /// Writes one word of entry `index` (modulo ``count``) with one access, after all earlier accesses: the word that makes it
    /// valid.
    ///
    /// - Returns: false, and nothing is written, where the entry has no such word.
    @inlinable @discardableResult
    public mutating func publish<T: SharedWord>(_ value: T, at index: Int, word: Int) -> Bool {
        // SAFETY: as for `word`.
        guard let place = unsafe place(word, index, MemoryLayout<T>.size) else { return false }
        cdma_release_barrier()
        unsafe T.volatileStore(value, place)
        return true
    }

    @unsafe @inlinable
    func place(_ word: Int, _ index: Int, _ width: Int) -> UnsafeMutableRawPointer? {
        let stride = MemoryLayout<Element>.stride
        guard word >= 0, word < stride / width, stride % width == 0 else { return nil }
        // SAFETY: the word lies inside its entry by the check above, and the entry inside the memory by the mask.
        return unsafe base + ((index & mask) &* stride &+ word &* width)
    }
}

// SAFETY: the pointer leads into the coherent memory, which only this value owns.
extension RingMemory: @unchecked Sendable {}
