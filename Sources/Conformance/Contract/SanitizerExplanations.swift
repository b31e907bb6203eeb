// SPDX-License-Identifier: Apache-2.0

import DMACore

extension Explanation {
    /// The findings of the sanitizer (`DMA_SANITIZE=1`), by identifier and by name.
    static var sanitizer: [Explanation] {
        SanitizerReport.Identifier.allCases.map { identifier in
            let text = texts(identifier)
            return Explanation(
                identifier.rawValue, aliases: ["\(identifier)"], .sanitizer, title: "\(identifier)", meaning: text.meaning,
                example: text.example, cure: text.cure, rules: [rule(identifier)])
        }
    }

    /// The rule in a report.
    private static func rule(_ identifier: SanitizerReport.Identifier) -> Int {
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

    private static func texts(
        _ identifier: SanitizerReport.Identifier
    ) -> (meaning: String, example: String, cure: String) {
        switch identifier {
        case .unmapInvalidAddress:
            (
                "The error value or address 0 was unmapped.",
                "The result of a mapping that failed is unmapped.", "Check the outcome of map, and unmap what was mapped."
            )
        case .unmapNotMapped:
            (
                "A mapping was unmapped that does not exist, or no longer.",
                "An error path unmaps what the success path unmaps too.",
                "Unmap once; let a MappedBuffer own the mapping."
            )
        case .unmapOtherSize:
            (
                "A mapping was unmapped with another size than its own.", "8192 bytes are mapped and 4096 unmapped.",
                "Store the size with the mapping."
            )
        case .unmapOtherKind:
            (
                "A list was unmapped as a single mapping, or the reverse.",
                "A scatter list is unmapped by its first entry.",
                "Unmap a list with the function for lists."
            )
        case .unmapOtherDirection:
            (
                "A mapping was unmapped with another direction than its own.", "Mapped toDevice, unmapped fromDevice.",
                "Store the direction with the mapping: on some machines it determines the cache maintenance."
            )
        case .unmapOtherCount:
            (
                "A list was unmapped with another number of entries than its own.",
                "The number of merged segments is used to unmap.", "Use the original number of entries."
            )
        case .mapStack:
            (
                "Memory on a thread's stack was mapped.", "A local variable is imported and mapped.",
                "Allocate a Buffer: stack memory is reused when the function returns."
            )
        case .mapText: ("Program text was mapped.", "A pointer to a function is mapped.", "Map data.")
        case .mapInvalidRange:
            (
                "A mapped range is not memory of this process, or the device may write it and the process may not.",
                "A freed pointer, or a read-only file mapping that is mapped fromDevice.",
                "Map valid memory to which the process has the same access as the device."
            )
        case .overlappingCacheLines:
            (
                "Two mappings share a cache line, and a device may write one of them.",
                "Two 32-byte fields of one structure are mapped for one device.", "Give each mapping its own cache lines."
            )
        case .mapErrorUnchecked:
            (
                "A mapping was unmapped whose result was never checked.", "The address is passed to a device without a check.",
                "Check the outcome before using the address."
            )
        case .listTooLong:
            (
                "A scatter list has more entries than the device has segments.", "300 entries where maximumSegments is 256.",
                "Split the list."
            )
        case .segmentTooLong:
            (
                "An entry of a scatter list is longer than the device's longest segment.",
                "An entry of 128 KiB for a device with segments of 64 KiB.", "Split the entry."
            )
        case .segmentAcrossBoundary:
            (
                "An entry of a scatter list crosses the device's segment boundary.", "An entry across a multiple of 4 GiB.",
                "Split the entry at the boundary."
            )
        case .syncNotMapped:
            ("An address was synced that is not mapped.", "Sync after unmap.", "Sync while the mapping lives.")
        case .syncOutOfRange:
            (
                "A range was synced beyond the end of its mapping.", "Sync of 8192 bytes of a mapping of 4096.",
                "Sync within the mapping."
            )
        case .syncWrongDirection:
            (
                "A mapping was synced in another direction than its own.", "syncForDevice on a mapping that is fromDevice.",
                "Sync in the mapping's direction, or map bidirectional."
            )
        case .leak:
            (
                "A mapping was alive when its domain was closed, or when the domain ended without being closed.",
                "A MappedBuffer is stored in a global variable and never unmapped.",
                "End every mapping; the report names the source line of each."
            )
        case .quarantined:
            (
                "Memory went to the quarantine, because its device could not be stopped.",
                "A device hangs while a channel ends.",
                "Reset the device, then release the quarantine."
            )
        case .outsideMappings:
            (
                "A device would receive an address outside every mapping of its domain.",
                "A driver computes an address beyond the end of a ring.", "Take addresses from regions of live mappings."
            )
        case .accessNotPermitted:
            (
                "A device would receive an address with more permissions than its mapping has.",
                "A destination inside a mapping that is toDevice.", "Map in the direction of the transfer."
            )
        case .poolInUse:
            (
                "A pool ended while blocks of it were leased.", "A pool goes out of scope before its last block.",
                "Return the blocks first."
            )
        }
    }
}
