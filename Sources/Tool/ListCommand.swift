// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore
import FoundationEssentials

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the engines of this machine, and what each can do.")

    @Flag(help: "As JSON, for programs.")
    var json = false
    @Flag(help: "Limits and memory constraints too.")
    var verbose = false

    func run() throws {
        let engines = DMASystem().engines
        if json {
            print(try JSON.text(ListDocument(engines)))
            return
        }
        var table = Table(["engine", "channels", "in use", "depth", "order", "interrupts", "pause", "residue"], leading: 1)
        for engine in engines where engine.offer.absence == nil {
            let can = engine.offer.capabilities
            table.add([
                engine.offer.name, String(engine.offer.channels), String(engine.channelsInUse), String(can.depth),
                can.completesInOrder ? "kept" : "free", can.hasInterrupts ? "yes" : "polled", can.canPause ? "yes" : "no",
                "\(can.residueGranularity)",
            ])
        }
        print(table.text)
        for engine in engines where engine.offer.absence == nil {
            let can = engine.offer.capabilities
            print("\n\(engine.offer.name): \(can.operations.kinds.map { "\($0)" }.joined(separator: " "))")
            print("  by \(can.implementation)")
        }
        for engine in engines {
            guard let absence = engine.offer.absence else { continue }
            print("\(engine.offer.name): absent: \(absence.reason). Cure: \(absence.cure)")
        }
        guard verbose else { return }
        for engine in engines where engine.offer.absence == nil {
            let can = engine.offer.capabilities
            let asks = engine.offer.constraints
            print(
                """

                \(engine.offer.name)
                  sources, segments      up to \(can.maximumSources), \(can.maximumSegments)
                  largest transfer       \(Figures.bytes(can.maximumCount))
                  alignment              \(can.alignment) B
                  residue                by \(can.residueGranularity), steps of \(Figures.bytes(can.quantum))
                  pause, interrupts      \(can.canPause ? "yes" : "no"), \(can.hasInterrupts ? "yes" : "no (polled)")
                  extends while running  \(can.extendsWhileRunning ? "yes" : "no")
                  flags                  \(flagNames(can.flags).joined(separator: " "))
                  metadata, priorities   \(can.metadataCount) B, \(can.priorities)
                  DMA mask               streaming 0x\(String(asks.streamingMask.rawValue, radix: 16)), coherent \
                0x\(String(asks.coherentMask.rawValue, radix: 16))
                  memory alignment       \(asks.alignment) B, cache line \(asks.cacheLineSize) B, \
                \(asks.isCoherent ? "coherent" : "not coherent")
                """)
            for feature in engine.offer.features {
                print("  \(feature.isAvailable ? "has" : "lacks")  \(feature.name): \(feature.note)")
            }
        }
    }
}

/// The names of a set of flags, as the API has them.
func flagNames(_ flags: DescriptorFlags) -> [String] {
    let all: [(DescriptorFlags, String)] = [
        (.fence, "fence"), (.interrupt, "interrupt"), (.reuse, "reuse"), (.continue, "continue"), (.disableP, "disableP"),
        (.disableQ, "disableQ"),
    ]
    return all.filter { flags.contains($0.0) }.map(\.1)
}

/// What `dmactl list --json` prints. `version` rises when a field changes its meaning or goes.
struct ListDocument: Encodable {
    struct EngineEntry: Encodable {
        let name: String
        let channels: Int
        let channelsInUse: Int
        let implementation: String
        let operations: [String]
        let flags: [String]
        let depth: Int
        let maximumSources: Int
        let maximumSegments: Int
        let maximumBytes: UInt64
        let alignmentBytes: UInt64
        let completesInOrder: Bool
        let residueGranularity: String
        let canPause: Bool
        let hasInterrupts: Bool
        let absence: EngineAbsence?
        let features: [EngineFeature]
    }

    let version = 1
    let engines: [EngineEntry]

    init(_ listings: [EngineListing]) {
        engines = listings.map { listing in
            let can = listing.offer.capabilities
            return EngineEntry(
                name: listing.offer.name, channels: listing.offer.channels, channelsInUse: listing.channelsInUse,
                implementation: can.implementation, operations: can.operations.kinds.map { "\($0)" },
                flags: flagNames(can.flags),
                depth: can.depth, maximumSources: can.maximumSources, maximumSegments: can.maximumSegments,
                maximumBytes: can.maximumCount, alignmentBytes: can.alignment, completesInOrder: can.completesInOrder,
                residueGranularity: "\(can.residueGranularity)", canPause: can.canPause, hasInterrupts: can.hasInterrupts,
                absence: listing.offer.absence, features: listing.offer.features)
        }
    }
}

enum JSON {
    /// A document with its keys in order, so that two outputs can be compared line by line.
    static func text(_ document: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }
}
