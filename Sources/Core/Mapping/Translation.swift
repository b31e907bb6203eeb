// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// The relation between a device's addresses and those of this process.
public enum Translation: Sendable {
    /// The device uses the CPU's virtual addresses: threads, io_uring, models in this process, shared virtual addressing.
    case identity
    /// As ``identity``, with a backend that is informed of each mapping's beginning and end: an engine that registers memory
    /// with the kernel.
    ///
    /// Its `map` and `unmap` are called with the CPU's addresses as bus addresses, and with the bytes of the mapping, which need not
    /// be whole pages.
    case announced(any MappingBackend)
    /// A backend translates.
    ///
    /// - `apertures`: usable bus addresses, inclusive bounds in bytes, without the holes.
    /// - `pageSizes`: the sizes that the backend can map, in bytes. Values that are no powers of two are ignored; if none
    ///   remains,
    ///   4096. The smallest is the granule of every mapping; larger ones are served by aligning addresses to them.
    case translated(any MappingBackend, apertures: [ClosedRange<UInt64>], pageSizes: [UInt64])
}

/// Counters of a domain.
public struct DomainStatistics: Equatable, Sendable {
    /// Live mappings.
    public internal(set) var mappings: UInt64 = 0
    /// Bytes in live mappings.
    public internal(set) var mappedBytes: UInt64 = 0
    /// The highest number of mappings that were alive at one time.
    public internal(set) var peakMappings: UInt64 = 0
    /// The most bytes that were mapped at one time.
    public internal(set) var peakMappedBytes: UInt64 = 0
    /// Mappings made so far.
    public internal(set) var totalMappings: UInt64 = 0
    /// Requests for a mapping that were refused.
    public internal(set) var refusals: UInt64 = 0
    /// Entries that were bounced (rule 39).
    public internal(set) var bounces: UInt64 = 0
    /// Bytes copied for bounced entries, at map, sync and unmap.
    public internal(set) var bouncedBytes: UInt64 = 0
    /// Bytes of cache lines written back and invalidated for a ring's periods, on devices that are not coherent (rule 36).
    public internal(set) var maintainedBytes: UInt64 = 0
    /// Mappings whose memory is in quarantine because their device could not be stopped.
    public internal(set) var quarantined: UInt64 = 0

    /// All counters at 0.
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
