// SPDX-License-Identifier: Apache-2.0

import DMA

enum CopyOutput {
    static func explain(_ plan: CopyPlan) -> String {
        var table = Table(["choice", "value", "why"], leading: 3)
        for choice in plan.choices { table.add([choice.name, choice.value, choice.reason]) }
        return table.text
    }

    /// What was other than expected, always; the sum of it all, on a terminal.
    static func say(_ report: CopyReport, _ target: String, isTerminal: Bool) {
        for note in report.notes { Terminal.note("dmactl: \(CopyFailure.quoted(target)): \(note)\n") }
        if isTerminal { Terminal.note(summary(report) + "\n") }
    }

    static func summary(_ report: CopyReport) -> String {
        var text = ByteSize.text(report.bytes)
        if report.holes > 0 { text += " (\(ByteSize.text(report.holes)) of it holes)" }
        let seconds = Double(report.copyNanoseconds + report.flushNanoseconds) / 1e9
        text += " in \(Figures.decimal(seconds, 2)) s, \(ByteSize.text(rate: report.bytesPerSecond)), "
        text += "\(Figures.decimal(Double(report.processorNanoseconds) / 1e9, 2)) s of processor; "
        text += way(report)
        if report.verified { text += "; verified" }
        if let crc = report.crc32c { text += "; CRC32C \(String(crc, radix: 16))" }
        return text
    }

    private static func way(_ report: CopyReport) -> String {
        let plan = report.plan
        switch plan.path {
        case .reflink: return "blocks shared"
        case .engine, .memory:
            return
                "\(report.engine), \(plan.source.rawValue) to \(plan.target.rawValue), \(plan.depth) × \(ByteSize.text(plan.chunk))"
        case .inKernel: return "copied in the kernel"
        case .splice: return "spliced"
        case .readWrite: return "read and written"
        }
    }
}
