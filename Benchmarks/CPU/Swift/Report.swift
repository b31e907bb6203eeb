// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import Foundation

/// The findings of one run, in the format of the results.
struct Report: Codable {
    var command = "Benchmarks/run"
    var machine = Report.describeMachine()
    var load = Report.load()
    var kernels = "\(Kernels.best)"
    var duels: [Duel] = []
    var threads: [Threads.Line] = []
    var maps: [Threads.Line] = []
    var flatMaps: [Threads.Line] = []
    var modes: [Modes.Line] = []

    private static func describeMachine() -> String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = text.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last ?? "unknown"
        let hypervisor = text.contains(" hypervisor") ? ", a virtual machine" : ""
        let name = model.trimmingCharacters(in: .whitespaces)
        return "\(name), \(ProcessInfo.processInfo.activeProcessorCount) CPUs\(hypervisor)"
    }

    private static func load() -> String {
        let text = (try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8)) ?? ""
        return text.split(separator: " ").prefix(3).joined(separator: " ")
    }

    func write(to folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        try encoder.encode(self).write(to: URL(fileURLWithPath: folder + "/cpu.json"))
        try markdown.write(toFile: folder + "/cpu.md", atomically: true, encoding: .utf8)
    }

    var markdown: String {
        var text = """
            <!-- SPDX-License-Identifier: Apache-2.0 -->
            # The CPU engine beside its peers

            Made by `\(command)`. \(machine). Load average before the run: \(load).

            Kernels: \(kernels).

            All contestants of a line ran in turn (A B A B), fifteen rounds: median, lowest and highest. The ratio is the
            median of the rounds' ratios; above 1 swift-dma is ahead. One thread, inline, through `Channel`, up to 32
            transactions in flight, by processor time of the thread, so that neighbours on the machine count less; where the
            line says so, by the time that passed. GB/s count the bytes copied or filled once, and all sources of XOR and PQ.

            | what | size | swift-dma GB/s | peer GB/s | ratio |
            |---|---|---|---|---|

            """
        text += duels.map(\.row).joined(separator: "\n") + "\n"
        if !threads.isEmpty {
            text += """

                ## Two threads

                Two channels by processor time, so that what is lost is lost to caches and memory; the two workers of one
                channel by the time that passed.

                | what | size | one thread GB/s | two threads GB/s | ratio |
                |---|---|---|---|---|

                """
            text += threads.map(\.row).joined(separator: "\n") + "\n"
        }
        if !maps.isEmpty {
            text += """

                ## Mapping from two threads

                A buffer of 4 KiB is mapped and unmapped, by the time that passed; the backend of a translation does nothing. Millions a
                second of one thread, and of two on one address space, on CPUs of their own; nine rounds in turn.

                | what | size | one thread | two threads | ratio |
                |---|---|---|---|---|

                """
            text += maps.map(\.row).joined(separator: "\n") + "\n"
            text += """

                The same by one thread, beside mappings that are alive.

                | what | size | 10 alive | 1,000,000 alive | ratio |
                |---|---|---|---|---|

                """
            text += flatMaps.map(\.row).joined(separator: "\n") + "\n"
        }
        if !modes.isEmpty {
            text += """

                ## Transfer modes, with a foreground task on the same CPU

                The foreground does a fixed piece of arithmetic over and over; its times stand beside those without a transfer.
                The share is the processor time of the transferring thread over the time that passed; the duty is the time
                during which a quantum was under way, as the pacing counts it. Quanta of 256 KiB; medians of five rounds.

                | mode | asked | share | duty | GB/s | foreground p50 µs | p99 µs | alone p50 µs | alone p99 µs |
                |---|---|---|---|---|---|---|---|---|

                """
            text += modes.map(\.row).joined(separator: "\n") + "\n"
        }
        return text
    }
}
