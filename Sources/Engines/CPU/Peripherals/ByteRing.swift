// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// A ring of bytes between one writer and one reader, each on any thread. Either may sleep until the other has advanced.
///
/// The two counters only increase; their difference is the number of bytes in the ring. Each is written by one side only.
// SAFETY: each counter is written by one side and read by the other, by atomics; the counters determine which side owns each
// byte.
@safe
final class ByteRing: @unchecked Sendable {
    /// The capacity in bytes; a power of two.
    let capacity: Int
    /// Who writes, and who reads.
    let writing = FIFOEnd()
    let reading = FIFOEnd()
    // The writer's counter at 0, the reader's at 64, the futex at 128 and its sleepers at 132; the bytes from 192.
    private let memory: UnsafeMutableRawPointer

    private static let head = 192

    init(capacity: Int) {
        // SAFETY: just allocated, with that size; only `deinit` frees it.
        var rounded = 64
        while rounded < min(capacity, 1 << 30) { rounded *= 2 }
        self.capacity = rounded
        unsafe memory = .allocate(byteCount: Self.head + rounded, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.head + rounded)
    }

    // The last reference is released, so neither side is inside. SAFETY: the last reference is released, so that neither side
    // is inside.
    deinit { unsafe memory.deallocate() }

    // SAFETY: for both: the words live as long as `self` and are accessed only by atomics.
    private var written: UInt64 { unsafe cdma_load_acquire64(memory) }
    private var read: UInt64 { unsafe cdma_load_acquire64(memory + 64) }

    /// Bytes that can be read now. Exact for the reader, an upper bound for the writer; for other threads, which read the two
    /// counters at different times, approximate but within the capacity.
    var count: Int {
        let before = read
        return min(Int(truncatingIfNeeded: written &- before), capacity)
    }
    /// Bytes that can be written now. Exact for the writer, an upper bound for the reader.
    var room: Int { capacity - count }

    /// For the writer: writes up to `count` bytes, as many as there is room for.
    func write(_ from: UnsafeRawPointer, count: Int) -> Int {
        // SAFETY: the caller vouches for `count` bytes at `from`. What is written lies in the room that the counters give to the
        // writer: the reader does not touch it until the counter is stored, and both parts end inside the ring.
        let length = min(count, room)
        guard length > 0 else { return 0 }
        let at = written
        let start = Int(truncatingIfNeeded: at) & (capacity - 1)
        let first = min(length, capacity - start)
        let bytes = unsafe memory + Self.head
        unsafe cdma_copy(bytes + start, from, first)
        unsafe cdma_copy(bytes, from + first, length - first)
        unsafe cdma_store_release64(memory, at &+ UInt64(length))
        signal()
        return length
    }

    /// For the reader: reads up to `count` bytes, as many as there are.
    func read(into: UnsafeMutableRawPointer, count: Int) -> Int {
        // SAFETY: the caller vouches for `count` bytes at `into`. What is read lies between the counters, where the writer does not
        // touch it until the reader's is stored, and both parts end inside the ring.
        let length = min(count, self.count)
        guard length > 0 else { return 0 }
        let at = read
        let start = Int(truncatingIfNeeded: at) & (capacity - 1)
        let first = min(length, capacity - start)
        let bytes = unsafe memory + Self.head
        unsafe cdma_copy(into, bytes + start, first)
        unsafe cdma_copy(into + first, bytes, length - first)
        unsafe cdma_store_release64(memory + 64, at &+ UInt64(length))
        signal()
        return length
    }

    /// For either side: moves all segments of a list into the ring or out of it, and then notifies the other side, once. False
    /// for a null address, or where the segments' total is not `count`: then nothing has been moved as far as the other side
    /// can see.
    ///
    /// - Parameter count: bytes, at most the value of ``room``, or ``count``, that the calling side read before.
    @unsafe
    func move(_ list: UnsafePointer<Segment>, segments: Int, count: Int, toRing: Bool) -> Bool {
        // SAFETY: the caller vouches for the list and its segments, and calls for the side that it is. Together they have `count` bytes, which
        // the counters give to this side; both parts of each segment end inside the ring.
        let bytes = unsafe memory + Self.head
        let counter = unsafe memory + (toRing ? 0 : 64)
        var at = toRing ? written : read
        var left = UInt64(truncatingIfNeeded: count)
        for index in 0..<segments {
            let segment = unsafe list[index]
            guard segment.count <= left, segment.count == 0 || segment.address != 0 else { return false }
            guard let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(segment.address)) else { continue }
            let length = Int(truncatingIfNeeded: segment.count)
            let start = Int(truncatingIfNeeded: at) & (capacity &- 1)
            let first = min(length, capacity &- start)
            if toRing {
                unsafe cdma_copy(bytes + start, address, first)
                if first < length { unsafe cdma_copy(bytes, address + first, length &- first) }
            } else {
                unsafe cdma_copy(address, bytes + start, first)
                if first < length { unsafe cdma_copy(address + first, bytes, length &- first) }
            }
            at &+= segment.count
            left &-= segment.count
        }
        guard left == 0 else { return false }
        unsafe cdma_store_release64(counter, at)
        signal()
        return true
    }

    /// For either side: wakes the other, without a system call where it does not sleep.
    func signal() {
        // SAFETY: the words live as long as `self`, and are accessed only by atomics.
        unsafe cdma_fetch_add32(memory + 128, 1)
        if unsafe cdma_load_ordered32(memory + 132) > 0 { unsafe cdma_futex_wake(memory + 128, .max) }
    }

    /// Sleeps until a signal or for `nanoseconds`, unless `isReady` returns true.
    func sleep(nanoseconds: Int64, unless isReady: () -> Bool) {
        // SAFETY: as above; the kernel compares the futex before it sleeps.
        unsafe cdma_fetch_add32(memory + 132, 1)
        let ticket = unsafe cdma_load_acquire32(memory + 128)
        if !isReady() { unsafe cdma_futex_wait(memory + 128, ticket, nanoseconds) }
        unsafe cdma_fetch_add32(memory + 132, .max)
    }
}
