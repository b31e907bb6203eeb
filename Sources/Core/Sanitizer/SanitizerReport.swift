// SPDX-License-Identifier: Apache-2.0

/// One finding of the ``Sanitizer``.
public struct SanitizerReport: Equatable, Sendable {
    /// The kind of finding. Raw values are stable across releases; the first eighteen follow the checks of kernel/dma/debug.c,
    /// the others are our own.
    public enum Identifier: String, Sendable, CaseIterable {
        /// An unmap of the error value or of address 0.
        case unmapInvalidAddress = "DMA-S01"
        /// An unmap of a mapping that does not exist, or no longer.
        case unmapNotMapped = "DMA-S02"
        /// An unmap with another size than the mapping's.
        case unmapOtherSize = "DMA-S03"
        /// A list unmapped as a single mapping, or the reverse.
        case unmapOtherKind = "DMA-S04"
        /// An unmap with another direction than the mapping's.
        case unmapOtherDirection = "DMA-S05"
        /// An unmap of a list with another number of entries than the mapping's.
        case unmapOtherCount = "DMA-S06"
        /// Memory on a thread's stack was mapped.
        case mapStack = "DMA-S07"
        /// Program text was mapped.
        case mapText = "DMA-S08"
        /// A mapped range that is not memory of this process, or that the device may write and the process may not.
        case mapInvalidRange = "DMA-S09"
        /// Two mappings share a cache line, and a device may write one of them.
        case overlappingCacheLines = "DMA-S10"
        /// An unmap of a mapping whose result was never checked.
        case mapErrorUnchecked = "DMA-S11"
        /// A scatter list has more entries than the device has segments.
        case listTooLong = "DMA-S12"
        /// An entry of a scatter list is longer than the device's longest segment.
        case segmentTooLong = "DMA-S13"
        /// An entry of a scatter list crosses the device's segment boundary.
        case segmentAcrossBoundary = "DMA-S14"
        /// A sync of an address that is not mapped.
        case syncNotMapped = "DMA-S15"
        /// A sync beyond the mapped range.
        case syncOutOfRange = "DMA-S16"
        /// A sync in another direction than the mapping's.
        case syncWrongDirection = "DMA-S17"
        /// A mapping was alive when its domain was closed, or when the domain ended without being closed.
        case leak = "DMA-S18"
        /// Memory went to the quarantine, because its device could not be stopped.
        case quarantined = "DMA-S19"
        /// A device would receive an address outside every mapping of its domain.
        case outsideMappings = "DMA-S20"
        /// A device would receive an address with more permissions than its mapping has.
        case accessNotPermitted = "DMA-S21"
        /// A pool ended while blocks of it were leased.
        case poolInUse = "DMA-S22"
    }

    /// The kind of finding.
    public let identifier: Identifier
    /// The address space concerned.
    public let domain: DomainID
    /// The details, with numbers.
    public let message: String
    /// The file of the call at fault; empty and 0 where there is none.
    public let file: String
    /// The line of ``file``.
    public let line: UInt
    /// The file of the call that made the mapping; empty and 0 where there is none.
    public let mappingFile: String
    /// The line of ``mappingFile``.
    public let mappingLine: UInt

    init(_ identifier: Identifier, _ domain: DomainID, _ message: String, at call: Origin?, mapping: Origin?) {
        self.identifier = identifier
        self.domain = domain
        self.message = message
        file = call?.file.description ?? ""
        line = call?.line ?? 0
        mappingFile = mapping?.file.description ?? ""
        mappingLine = mapping?.line ?? 0
    }

    /// The contract rule (29…39) concerned.
    public var rule: Int {
        switch identifier {
        case .unmapInvalidAddress, .unmapNotMapped, .unmapOtherSize, .unmapOtherKind, .leak: 33
        case .unmapOtherDirection, .syncWrongDirection, .accessNotPermitted: 34
        case .unmapOtherCount: 32
        case .mapStack, .mapText, .mapInvalidRange, .outsideMappings: 29
        case .overlappingCacheLines: 36
        case .mapErrorUnchecked: 31
        case .listTooLong, .segmentTooLong, .segmentAcrossBoundary: 39
        case .syncNotMapped, .syncOutOfRange: 35
        case .quarantined: 18
        case .poolInUse: 38
        }
    }
}

extension SanitizerReport: CustomStringConvertible {
    public var description: String {
        var text = "\(identifier.rawValue) \(identifier): \(message) [rule \(rule)]"
        if !file.isEmpty { text += " at \(file):\(line)" }
        if !mappingFile.isEmpty { text += ", mapped at \(mappingFile):\(mappingLine)" }
        return text
    }
}
