// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMAUnits
import Glibc

enum CopyOutput {
    /// Prints a line or more, all of it.
    ///
    /// - Throws: `brokenPipe` if the reader has closed the pipe; `writeFailed`.
    static func print(_ text: String) throws(CopyFailure) {
        let bytes = Array((text + "\n").utf8)
        var place = 0
        while place < bytes.count {
            let rest = bytes[place...]
            // write(2) reads what the slice has, and no more.
            // SAFETY: the call reads the bytes that are left, which live through it.
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            let number = errno
            if count < 0, number == EINTR { continue }
            guard count > 0 else {
                throw CopyFailure(
                    number == EPIPE ? .brokenPipe : .writeFailed, "-", asked: "print the result to",
                    possible: "standard output cannot be written",
                    cure: "Check where it leads, and whether there is space (df).",
                    errno: number)
            }
            place += count
        }
    }

    static func explain(_ plan: CopyPlan) -> String {
        explain(plan.choices) + (Ran.line(plan.engine).map { "\n" + Terminal.wrapped($0, indent: 2) } ?? "")
    }

    static func explain(_ choices: [CopyPlan.Choice]) -> String {
        var table = Table(["choice", "value", "why"], leading: 3)
        for choice in choices { table.add([choice.name, choice.value, choice.reason].map(CopyFailure.oneLine)) }
        return table.text
    }

    /// Prints the notes, and on a terminal a summary.
    static func say(_ report: CopyReport, _ target: CopyPath, isTerminal: Bool) {
        say(report.notes, target.text)
        if isTerminal { Terminal.note(summary(report) + "\n") }
    }

    /// Prints the notes, which are about `target`, and the failure.
    static func say(_ failure: CopyFailure, _ target: String) {
        say(failure.notes, target)
        Terminal.note("dmactl: \(CopyWords.tell(failure))\n")
    }

    static func say(_ notes: [String], _ target: String) {
        for note in notes { Terminal.note("dmactl: \(CopyFailure.quoted(target)): \(CopyFailure.oneLine(note))\n") }
    }

    static func summary(_ report: CopyReport) -> String {
        var text = ByteSize.text(report.bytes)
        if report.holes > 0 { text += " (\(ByteSize.text(report.holes)) of it holes)" }
        let seconds = Double(report.copyNanoseconds + report.flushNanoseconds) / 1e9
        text += " in \(Figures.decimal(seconds, 2)) s, \(ByteSize.text(rate: report.bytesPerSecond)), "
        text += "\(Figures.decimal(Double(report.processorNanoseconds) / 1e9, 2)) s of processor; "
        text += way(report)
        if report.verified { text += "; verified" }
        if let crc = report.crc32c { text += "; CRC32C \(hexadecimal(crc))" }
        return text
    }

    private static func hexadecimal(_ crc: UInt32) -> String {
        let digits = String(crc, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
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
