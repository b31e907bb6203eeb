// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import FoundationEssentials
import Glibc

/// What `dmactl copy --json` prints. `version` rises when a field changes its meaning or goes.
struct CopyDocument: Encodable {
    let version = 1
    let source: String
    let target: String
    let report: CopyReport

    init(_ source: String, _ target: String, _ report: CopyReport) {
        self.source = source
        self.target = target
        self.report = report
    }
}

/// What `dmactl copy --explain --json` prints, and `--plan` reads.
struct PlanDocument: Codable {
    var version = 1
    var plan: CopyPlan
}

/// A plan in a file, which anybody may have written.
enum PlanFile {
    static func read(_ path: String) throws -> CopyPlan {
        func refuse(_ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, path, asked: "to follow this plan", possible: possible,
                cure: "write one with dmactl copy --explain --json SOURCE TARGET")
        }
        var bytes: [UInt8] = []
        guard let file = unsafe fopen(path, "re") else {
            throw CopyFailure(
                .notFound, path, asked: "a plan", possible: "no file that can be read there", cure: "check the path",
                errno: errno)
        }
        defer { unsafe _ = fclose(file) }
        bytes = unsafe [UInt8](unsafeUninitializedCapacity: 65_537) { buffer, filled in
            // fread writes at most the capacity, and says how many.
            filled = unsafe fread(buffer.baseAddress, 1, buffer.count, file)
        }
        guard bytes.count <= 65_536 else { throw refuse("plans of 64 KiB at most") }
        let document: PlanDocument
        do { document = try JSONDecoder().decode(PlanDocument.self, from: Data(bytes)) } catch {
            throw refuse("a plan's JSON, with every field: \(error)".split(separator: "\n").joined(separator: " "))
        }
        guard document.version == 1 else { throw refuse("version 1 of the format") }
        try document.plan.check()
        return document.plan
    }
}

enum CopyOutput {
    static func explain(_ plan: CopyPlan, json: Bool) throws -> String {
        if json { return try JSON.text(PlanDocument(plan: plan)) }
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

/// The files of a list, one after the other: what fails does not keep the others.
struct CopyListRun {
    let copier: Copier
    let options: CopyOptions
    let folder: String
    let json: Bool
    let explain: Bool

    private struct Document: Encodable {
        struct Failed: Encodable {
            let source: String
            let code: CopyFailure.Code
            let message: String
        }
        let version = 1
        var copied: [CopyDocument] = []
        var failed: [Failed] = []
    }

    func run(_ paths: [String], _ signals: CopySignals) throws {
        var document = Document()
        for path in paths {
            let control = CopyControl()
            signals.watch(control, name: path)
            do throws(CopyFailure) {
                let target = try CopyList.place(path, below: folder)
                if explain {
                    let plan = try copier.plan(from: .path(path), to: .path(target), options)
                    print(CopyFailure.quoted(path) + "\n" + ((try? CopyOutput.explain(plan, json: json)) ?? "") + "\n")
                    continue
                }
                let report = try copier.copy(from: .path(path), to: .path(target), options, control: control)
                CopyOutput.say(report, path, isTerminal: false)
                if json { document.copied.append(CopyDocument(path, target, report)) }
            } catch {
                if error.code == .cancelled { throw error }
                document.failed.append(Document.Failed(source: path, code: error.code, message: error.description))
                Terminal.note("dmactl: \(error)\n")
            }
        }
        signals.end()
        if json, !explain { print(try JSON.text(document)) }
        guard !document.failed.isEmpty else { return }
        Terminal.note("dmactl: \(document.failed.count) of \(paths.count) files were not copied\n")
        throw CopyFailure(
            .badList, folder, asked: "all \(paths.count) files", possible: "\(paths.count - document.failed.count) of them",
            cure: "see the reasons above")
    }
}
