// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show the engines of this machine, and what each can do; or its PCI devices.",
        discussion: """
            An engine that is absent is listed with the reason, and with what to change. --devices lists each PCI device that can move data: \
            its driver, IOMMU group, link and DMA mask, and what keeps it from being driven from user space. It opens no device.

            EXAMPLES
              dmactl list
              dmactl list --devices --verbose
              dmactl list --verbose
              dmactl list --json | jq -r '.engines[].name'

            EXIT CODES
              0   listed, also where engines are absent
              64  the command line is wrong
              73  standard output cannot be written
            """)

    @Flag(help: "PCI devices in place of engines.")
    var devices = false
    @Flag(help: "Print JSON; its schema is Schemas/list.schema.json, with --devices Schemas/devices.schema.json.")
    var json = false
    @Flag(help: "Limits and memory constraints too; of devices, everything that is known.")
    var verbose = false

    func run() throws { print(devices ? try text(DeviceList()) : try text(ToolSystem.make().engines)) }

    func text(_ list: DeviceList) throws -> String {
        json ? try JSON.text(DeviceDocument(list)) : DeviceTables.text(list, verbose: verbose)
    }

    func text(_ engines: [EngineListing]) throws -> String {
        json ? try JSON.text(ListDocument(engines)) : ListTables.text(engines, verbose: verbose)
    }
}

/// Engines as people read them.
enum ListTables {
    static func text(_ engines: [EngineListing], verbose: Bool) -> String {
        let present = engines.filter { $0.offer.absence == nil }
        var parts = [present.isEmpty ? "no engine can be used" : overview(present)]
        if !present.isEmpty { parts.append(present.map(abilities).joined(separator: "\n")) }
        let absent = engines.compactMap { engine in
            engine.offer.absence.map { "\(engine.offer.name): absent: \($0.reason). Cure: \($0.cure)" }
        }
        let waived = present.compactMap { engine in engine.waiver.map { "\(engine.offer.name): \($0)" } }
        if !waived.isEmpty { parts.append(waived.map { Terminal.styled($0, .warning) }.joined(separator: "\n")) }
        if !absent.isEmpty { parts.append(absent.map { Terminal.styled($0, .warning) }.joined(separator: "\n")) }
        if verbose { parts += present.map(details) }
        return parts.joined(separator: "\n\n")
    }

    private static func overview(_ engines: [EngineListing]) -> String {
        var table = Table(
            [
                "engine", "channels", "in use", "depth", "order", "interrupts", "pause", "residue", "sources", "segments",
                "largest",
            ],
            leading: 1, optional: ["segments", "sources", "largest", "residue", "pause", "in use", "order"])
        for engine in engines {
            let can = engine.offer.capabilities
            table.add([
                engine.offer.name, String(engine.offer.channels), String(engine.channelsInUse), String(can.depth),
                can.completesInOrder ? "kept" : "free", can.hasInterrupts ? "yes" : "polled", can.canPause ? "yes" : "no",
                "\(can.residueGranularity)", limit(UInt64(can.maximumSources)), limit(UInt64(can.maximumSegments)),
                bytes(can.maximumCount),
            ])
        }
        return table.text
    }

    private static func abilities(_ engine: EngineListing) -> String {
        let can = engine.offer.capabilities
        var words = can.operations.kinds.map { "\($0)" }
        let commands = can.commands.commands.map { "\($0)" }
        if !commands.isEmpty { words.append("(commands: \(commands.joined(separator: " ")))") }
        let by = can.implementation.isEmpty ? "code of its own" : can.implementation
        let cure = engine.offer.fallback.map { "\n" + Terminal.wrapped("Cure: \($0.cure)", after: "  ", indent: 2) } ?? ""
        return Terminal.wrapped("\(engine.offer.name), by \(by):", indent: 2) + "\n"
            + Terminal.wrapped(words.joined(separator: " "), after: "  ", indent: 2) + cure
    }

    private static func details(_ engine: EngineListing) -> String {
        let can = engine.offer.capabilities
        let asks = engine.offer.constraints
        func yes(_ value: Bool) -> String { value ? "yes" : "no" }
        let flags = flagNames(can.flags)
        var facts: [(String, String)] =
            [
                ("most sources, segments", "\(limit(UInt64(can.maximumSources))), \(limit(UInt64(can.maximumSegments)))"),
                ("largest transfer", bytes(can.maximumCount)), ("alignment", "\(can.alignment) B"),
                ("residue", "by \(can.residueGranularity)" + (can.quantum > 0 ? ", steps of \(bytes(can.quantum))" : "")),
                ("pause, interrupts", "\(yes(can.canPause)), \(can.hasInterrupts ? "yes" : "no (polled)")"),
                ("extends while running", yes(can.extendsWhileRunning)), ("works in the poll", yes(can.worksInPoll)),
                ("flags", flags.isEmpty ? "none of its own" : flags.joined(separator: " ")),
                ("metadata, priorities", "\(can.metadataCount) B, \(can.priorities)"),
                (
                    "DMA mask",
                    "streaming \(hexadecimal(asks.streamingMask.rawValue)), coherent \(hexadecimal(asks.coherentMask.rawValue))"
                ),
                (
                    "memory alignment",
                    "\(asks.alignment) B, cache line \(asks.cacheLineSize) B, \(asks.isCoherent ? "" : "not ")coherent"
                ),
                (
                    "largest segment",
                    "\(bytes(asks.maximumSegmentSize)), boundary \(asks.segmentBoundary == 0 ? "none" : bytes(asks.segmentBoundary))"
                ),
                ("largest mapping", "\(bytes(asks.maximumMappingSize)), bounced where they must be: \(yes(asks.allowsBounce))"),
                (
                    "channels",
                    engine.channelNames.count > 4
                        ? "\(engine.channelNames[0]) … \(engine.channelNames[engine.channelNames.count - 1])"
                        : engine.channelNames.joined(separator: " ")
                ),
            ]
        if let device = engine.offer.device {
            facts.append(("device", "\(device.id) in slot \(device.slot), \(device.isolation.text)"))
        }
        let known = engine.offer.peripherals
        if !known.isEmpty { facts.append(("peripherals", peripherals(known))) }
        // Where there is no room for two columns, what is said follows its name.
        let isNarrow = Terminal.width.map { $0 < 60 } ?? false
        return engine.offer.name
            + facts.map { name, text in
                let gap = isNarrow ? ": " : String(repeating: " ", count: max(24 - name.count, 1))
                return "\n" + Terminal.wrapped(text, after: "  " + name + gap, indent: isNarrow ? 4 : 26)
            }.joined()
            + engine.offer.features.map {
                "\n" + Terminal.wrapped("\($0.name): \($0.note)", after: $0.isAvailable ? "  has    " : "  lacks  ", indent: 9)
            }.joined()
    }

    private static func peripherals(_ list: [PeripheralFacts]) -> String {
        list.map { facts in
            "\(facts.number): blocks of \(facts.blockSize) B, \(facts.capacity.map(Figures.bytes) ?? "no known end"), "
                + "transfers up to \(bytes(facts.maximumTransfer))"
        }.joined(separator: "; ")
    }

    private static func limit(_ value: UInt64) -> String { value > 1 << 31 ? "any" : String(value) }
    private static func bytes(_ value: UInt64) -> String { value > 1 << 60 ? "any" : Figures.bytes(value) }
    private static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}

extension DeviceIdentity.Isolation {
    /// In words, as lists and documents have it.
    var text: String {
        switch self {
        case .iommu: "behind an IOMMU"
        case .none: "no IOMMU"
        case .unknown: "IOMMU not known"
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
