// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit

/// A part of a domain's registry. Threads use different shards, so that mapping threads do not wait for each other, and each
/// keeps what the thread reuses: a record, and bus addresses of the same length.
@safe
struct MappingShard: ~Copyable {
    private var free: UnsafeMutablePointer<MappingRecord>?
    private var chunks: [UnsafeMutablePointer<MappingRecord>]
    private let number: Int
    private var serial: UInt64 = 0
    var isClosed = false
    /// The domain has no client any more: the core counts each mapping that ends.
    var isAbandoned = false
    /// A device is being attached: maps and unmaps wait.
    var isHeld = false
    /// Whether the backend holds the mappings.
    var isProgrammed = true
    var statistics = DomainStatistics()
    var addresses = SpareAddresses()

    static let count = 8
    private static let chunkSize = 64

    // SAFETY: there is no chunk yet.
    init(number: Int) {
        unsafe chunks = []
        self.number = number
    }

    deinit {
        // SAFETY: the chunks are this value's own, `chunkSize` initialized records each; every mapping has ended by then.
        for number in unsafe chunks.indices {
            let chunk = unsafe chunks[number]
            unsafe chunk.deinitialize(count: Self.chunkSize)
            unsafe chunk.deallocate()
        }
    }

    /// Takes a free record.
    ///
    /// - Parameter core: the owner of this shard.
    @inline(__always)
    mutating func take(for core: Unmanaged<DomainCore>) -> UnsafeMutablePointer<MappingRecord> {
        // SAFETY: a free record lies in a chunk of this value, initialized.
        if unsafe free == nil { unsafe grow(core) }
        let record = unsafe free.unsafelyUnwrapped
        unsafe free = record.pointee.next
        serial &+= 1
        unsafe record.pointee.identifier = serial &* UInt64(Self.count) &+ UInt64(number)
        return unsafe record
    }

    /// The counterpart of ``take()``: the record is not used afterwards.
    @inline(__always)
    mutating func giveBack(_ record: UnsafeMutablePointer<MappingRecord>) {
        // SAFETY: the record was taken from this value, and no other reference to it is left.
        unsafe record.pointee.identifier = 0
        unsafe record.pointee.memory = nil
        unsafe record.pointee.regionCount = 0
        unsafe record.pointee.isQuarantined = false
        unsafe record.pointee.isWithdrawn = false
        unsafe record.pointee.next = unsafe free
        unsafe free = unsafe record
    }

    @inline(never)
    private mutating func grow(_ core: Unmanaged<DomainCore>) {
        // SAFETY: a chunk is allocated and initialized as a whole; `deinit` alone frees it.
        let chunk = UnsafeMutablePointer<MappingRecord>.allocate(capacity: Self.chunkSize)
        for index in (0..<Self.chunkSize).reversed() {
            let record = unsafe chunk + index
            unsafe record.initialize(to: MappingRecord(shard: number, of: core, at: record))
            unsafe record.pointee.next = unsafe free
            unsafe free = unsafe record
        }
        unsafe chunks.append(chunk)
    }

    /// Calls `body` with every record in use.
    func visit(_ body: (borrowing MappingRecord) -> Void) {
        // SAFETY: the chunks live as long as this value; what `body` reads changes only while the shard is locked, which the caller has done.
        for number in unsafe chunks.indices {
            let chunk = unsafe chunks[number]
            for index in 0..<Self.chunkSize where unsafe chunk[index].identifier != 0 { unsafe body(chunk[index]) }
        }
    }

    @inline(__always)
    mutating func count(_ bytes: UInt64) {
        statistics.totalMappings &+= 1
        statistics.mappings &+= 1
        statistics.mappedBytes &+= bytes
        if statistics.mappings > statistics.peakMappings { statistics.peakMappings = statistics.mappings }
        if statistics.mappedBytes > statistics.peakMappedBytes { statistics.peakMappedBytes = statistics.mappedBytes }
    }

    @inline(__always)
    mutating func uncount(_ bytes: UInt64) {
        statistics.mappings &-= 1
        statistics.mappedBytes &-= bytes
    }
}

extension Locked where Value == MappingShard {
    /// Takes the lock and lends the shard until ``release()``, which the caller calls once, on this thread. For hot paths,
    /// which avoid closures.
    @unsafe @inline(__always)
    func acquire() -> UnsafeMutablePointer<MappingShard> {
        // SAFETY: as in `withLock`; the caller releases the lock.
        if unsafe !cdma_compare_exchange32(word, 0, 1) { takeSlowly() }
        return unsafe value
    }

    /// Ends ``acquire()``.
    @unsafe @inline(__always)
    func release() {
        // SAFETY: the word is valid as long as `self`.
        if unsafe cdma_exchange32(word, 0) == 2 { unsafe cdma_futex_wake(word, 1) }
    }
}

// SAFETY: a record is accessed under the lock of its shard, or by the owner that has taken it.
extension MappingShard: @unchecked Sendable {}
