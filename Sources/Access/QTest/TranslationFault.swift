// SPDX-License-Identifier: Apache-2.0

internal import DMAVTDSpecification

/// An access of a device that the IOMMU of a machine has refused.
public struct TranslationFault: Equatable, Sendable, CustomStringConvertible {
    /// The page that was accessed, as a bus address.
    public let page: UInt64
    /// The device's bus, slot and function.
    public let bus, slot, function: Int
    /// Whether it was a read of memory; a write otherwise.
    public let isRead: Bool
    /// The number that the unit gives for the reason.
    ///
    /// Source: Intel Virtualization Technology for Directed I/O, Architecture Specification, appendix "Fault Reason Encodings".
    public let reason: UInt8

    init(_ record: VTDFaultRecord) {
        page = record.address
        bus = Int(record.requester >> 8)
        slot = Int(record.requester >> 3 & 31)
        function = Int(record.requester & 7)
        isRead = record.isRead
        reason = record.reason
    }

    /// What was refused, and why.
    public var description: String {
        let meaning =
            switch reason {
            case 1: "the bus has no root entry"
            case 2: "the device has no context entry"
            case 3: "the device's context entry is invalid"
            case 4: "the address has more bits than the tables"
            case 5: "the page is not mapped for writing"
            case 6: "the page is not mapped for reading"
            default: "reason \(reason)"
            }
        let access = "a \(isRead ? "read" : "write") at 0x\(String(page, radix: 16))"
        return "\(access) by device \(slot).\(function) of bus \(bus): \(meaning)"
    }
}
