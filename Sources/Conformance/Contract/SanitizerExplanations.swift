// SPDX-License-Identifier: Apache-2.0

import DMACore

extension Explanation {
    /// What the sanitizer finds (`DMA_SANITIZE=1`), by its identifier and by its name.
    static var sanitizer: [Explanation] {
        SanitizerReport.Identifier.allCases.map { identifier in
            let text = texts(identifier)
            return Explanation(
                identifier.rawValue, aliases: ["\(identifier)"], .sanitizer, title: "\(identifier)", meaning: text.meaning,
                example: text.example, cure: text.cure, rules: [rule(identifier)])
        }
    }

    /// The rule that a report names.
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
                "A mapping was ended at the error value or at address 0.",
                "The result of a mapping that failed is unmapped.", "Check the outcome of map, and unmap what was mapped."
            )
        case .unmapNotMapped:
            (
                "A mapping was ended that does not exist, or no longer.",
                "An error path unmaps what the success path unmaps too.",
                "Unmap once; let a MappedBuffer own the mapping."
            )
        case .unmapOtherSize:
            (
                "A mapping was ended with another size than it was made with.", "8192 bytes are mapped and 4096 unmapped.",
                "Keep the size with the mapping."
            )
        case .unmapOtherKind:
            (
                "A list was ended as a single mapping, or the other way round.",
                "A scatter list is unmapped by its first entry.",
                "End a list with the list."
            )
        case .unmapOtherDirection:
            (
                "A mapping was ended with another direction than it was made with.", "Mapped toDevice, unmapped fromDevice.",
                "Keep the direction with the mapping: on some machines it decides which caches are written back."
            )
        case .unmapOtherCount:
            (
                "A list was ended with another number of entries than it was made with.",
                "The merged number of segments is used for the end.", "Use the original number of entries."
            )
        case .mapStack:
            (
                "Memory on a thread's stack was mapped.", "A local variable is imported and mapped.",
                "Allocate a Buffer: a stack is reused by whatever runs next."
            )
        case .mapText: ("Program text was mapped.", "A pointer to a function is mapped.", "Map data.")
        case .mapInvalidRange:
            (
                "Something was mapped that is not memory of this process, or that the device may write and the process may not.",
                "A freed pointer, or a read-only file mapping that is mapped fromDevice.",
                "Map memory that is there, and that the process may access as the device will."
            )
        case .overlappingCacheLines:
            (
                "Two mappings share a cache line, and a device may write one of them.",
                "Two 32-byte fields of one structure are mapped for one device.", "Give each mapping its own cache lines."
            )
        case .mapErrorUnchecked:
            (
                "A mapping was ended whose result nobody had checked.", "The address is handed to a device without a look.",
                "Look at the outcome before the address is used."
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
            ("Sync of something that is not mapped.", "Sync after unmap.", "Sync while the mapping lives.")
        case .syncOutOfRange:
            ("Sync of more than was mapped.", "Sync of 8192 bytes of a mapping of 4096.", "Sync within the mapping.")
        case .syncWrongDirection:
            (
                "Sync in another direction than was mapped.", "syncForDevice on a mapping that is fromDevice.",
                "Sync in the mapping's direction, or map bidirectional."
            )
        case .leak:
            (
                "A mapping was alive when its domain was closed, or ended without that.",
                "A MappedBuffer is kept in a global and never unmapped.",
                "End every mapping; the report names the line of each."
            )
        case .quarantined:
            (
                "Memory was parked, because its device could not be stopped.", "A device hangs while a channel ends.",
                "Reset the device, then release the quarantine."
            )
        case .outsideMappings:
            (
                "A device is about to be given an address outside every mapping of its domain.",
                "A driver computes an address beyond the end of a ring.", "Take addresses from regions of live mappings."
            )
        case .accessNotPermitted:
            (
                "A device is about to be given an address for more than its mapping permits.",
                "A destination inside a mapping that is toDevice.", "Map with the direction that the transfer has."
            )
        case .poolInUse:
            (
                "A pool ended while blocks of it were leased.", "A pool goes out of scope before its last block.",
                "Let the blocks end first."
            )
        }
    }
}
