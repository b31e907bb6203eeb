// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// How a device's addresses relate to those of this process.
public enum Translation: Sendable {
    /// The device uses the CPU's virtual addresses: threads, io_uring, models in this process, shared virtual addressing.
    case identity
    /// As ``identity``, and a backend is told of each mapping's beginning and end: an engine that registers memory with the kernel.
    ///
    /// Its `map` and `unmap` are called with the CPU's addresses as bus addresses, and with the bytes of the mapping, which need not
    /// be whole pages.
    case announced(any MappingBackend)
    /// A backend translates.
    ///
    /// - `apertures`: usable bus addresses, inclusive bounds in bytes, without the holes.
    /// - `pageSizes`: the sizes that the backend can map, in bytes. What is no power of two is left out; if nothing remains,
    ///   4096. The smallest is the granule of every mapping; larger ones are served by aligning addresses to them.
    case translated(any MappingBackend, apertures: [ClosedRange<UInt64>], pageSizes: [UInt64])
}

/// What a domain has done so far.
public struct DomainStatistics: Equatable, Sendable {
    /// Mappings that exist now, and the bytes in them as asked.
    public internal(set) var mappings: UInt64 = 0
    /// Bytes mapped now.
    public internal(set) var mappedBytes: UInt64 = 0
    /// The highest values that the two above have had.
    public internal(set) var peakMappings: UInt64 = 0
    /// The most bytes that were mapped at one time.
    public internal(set) var peakMappedBytes: UInt64 = 0
    /// Mappings ever made, and refused.
    public internal(set) var totalMappings: UInt64 = 0
    /// Wishes for a mapping that were refused.
    public internal(set) var refusals: UInt64 = 0
    /// Entries that were bounced, and bytes copied for them at map, sync and unmap (rule 39).
    public internal(set) var bounces: UInt64 = 0
    /// Bytes copied for bounced entries.
    public internal(set) var bouncedBytes: UInt64 = 0
    /// Bytes whose cache lines were written back and dropped for a ring's periods, on devices that are not coherent (rule 36).
    public internal(set) var maintainedBytes: UInt64 = 0
    /// Mappings whose memory was parked because their device could not be stopped.
    public internal(set) var quarantined: UInt64 = 0

    /// Nothing mapped yet.
    public init() {}

    mutating func add(_ other: DomainStatistics) {
        mappings &+= other.mappings
        mappedBytes &+= other.mappedBytes
        peakMappings &+= other.peakMappings
        peakMappedBytes &+= other.peakMappedBytes
        totalMappings &+= other.totalMappings
        refusals &+= other.refusals
        bounces &+= other.bounces
        bouncedBytes &+= other.bouncedBytes
        maintainedBytes &+= other.maintainedBytes
        quarantined &+= other.quarantined
    }
}
