// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore

/// What `dmactl list --json` prints. `version` rises when a field changes its meaning or goes; its schema is Schemas/list.schema.json.
struct ListDocument: Encodable {
    struct EngineEntry: Encodable {
        let name: String
        let channels: Int
        let channelsInUse: Int
        let channelNames: [String]
        let implementation: String
        let operations: [String]
        let commands: [String]
        let flags: [String]
        let depth: Int
        /// Absent for any number.
        let maximumSources: Int?
        let maximumSegments: Int?
        let maximumBytes: UInt64?
        let alignmentBytes: UInt64
        let quantumBytes: UInt64
        let metadataBytes: Int
        let priorities: Int
        let completesInOrder: Bool
        let residueGranularity: String
        let canPause: Bool
        let hasInterrupts: Bool
        let extendsWhileRunning: Bool
        let worksInPoll: Bool
        let constraints: Constraints
        /// Why it cannot be used; null where it can.
        let absence: EngineAbsence?
        /// Why it runs on less than it could; absent where it does not.
        let fallback: EngineAbsence?
        let features: [EngineFeature]
        /// Null for an engine without a device of its own.
        let device: Device?
        let peripherals: [Peripheral]
    }

    struct Device: Encodable {
        /// "8086:1521".
        let id: String
        /// "0000:03:00.0".
        let slot: String
        let isolation: String
        /// Why it may be used without an IOMMU; null where it needs no waiver.
        let waiver: String?
    }

    struct Peripheral: Encodable {
        let number: UInt32
        let blockBytes: UInt64
        let capacityBytes: UInt64?
        let maximumTransferBytes: UInt64?
    }

    struct Constraints: Encodable {
        /// Hexadecimal, because a number of 64 bits is more than many readers of JSON keep.
        let streamingMask: String
        let coherentMask: String
        let alignmentBytes: UInt64
        let cacheLineBytes: UInt64
        let maximumSegmentBytes: UInt64?
        let segmentBoundaryBytes: UInt64
        let maximumMappingBytes: UInt64?
        let isCoherent: Bool
        let allowsBounce: Bool
    }

    let version = 1
    let engines: [EngineEntry]

    init(_ listings: [EngineListing]) {
        engines = listings.map { listing in
            let can = listing.offer.capabilities
            return EngineEntry(
                name: listing.offer.name, channels: listing.offer.channels, channelsInUse: listing.channelsInUse,
                channelNames: listing.channelNames, implementation: can.implementation,
                operations: can.operations.kinds.map { "\($0)" }, commands: can.commands.commands.map { "\($0)" },
                flags: flagNames(can.flags), depth: can.depth, maximumSources: bounded(can.maximumSources),
                maximumSegments: bounded(can.maximumSegments), maximumBytes: bounded(can.maximumCount),
                alignmentBytes: can.alignment,
                quantumBytes: can.quantum, metadataBytes: can.metadataCount, priorities: can.priorities,
                completesInOrder: can.completesInOrder, residueGranularity: "\(can.residueGranularity)",
                canPause: can.canPause, hasInterrupts: can.hasInterrupts, extendsWhileRunning: can.extendsWhileRunning,
                worksInPoll: can.worksInPoll, constraints: ListDocument.constraints(listing.offer.constraints),
                absence: listing.offer.absence, fallback: listing.offer.fallback, features: listing.offer.features,
                device: listing.offer.device.map {
                    Device(id: $0.id, slot: "\($0.slot)", isolation: $0.isolation.text, waiver: listing.waiver)
                },
                peripherals: listing.offer.peripherals.map {
                    Peripheral(
                        number: $0.number, blockBytes: $0.blockSize, capacityBytes: $0.capacity,
                        maximumTransferBytes: bounded($0.maximumTransfer))
                })
        }
    }

    private static func constraints(_ asks: DeviceConstraints) -> Constraints {
        Constraints(
            streamingMask: "0x" + String(asks.streamingMask.rawValue, radix: 16),
            coherentMask: "0x" + String(asks.coherentMask.rawValue, radix: 16),
            alignmentBytes: asks.alignment, cacheLineBytes: UInt64(asks.cacheLineSize),
            maximumSegmentBytes: bounded(asks.maximumSegmentSize),
            segmentBoundaryBytes: asks.segmentBoundary, maximumMappingBytes: bounded(asks.maximumMappingSize),
            isCoherent: asks.isCoherent, allowsBounce: asks.allowsBounce)
    }
}

/// Nil for a limit that is none.
private func bounded<Number: FixedWidthInteger>(_ limit: Number) -> Number? {
    limit > Number(clamping: Int64(1) << 52) || limit == .max ? nil : limit
}
