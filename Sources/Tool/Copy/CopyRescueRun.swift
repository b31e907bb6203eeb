// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore
import DMAUnits

/// `dmactl copy --rescue`: a copy of a medium with bad sectors, by a map.
struct CopyRescueRun {
    let copier: Copier
    let source: CopyPath
    let target: CopyPath
    let map: CopyPath
    let retries: Int
    let options: CopyOptions
    let json: Bool

    /// Prints how it would be done.
    func explain() throws {
        let plan = try copier.rescuePlan(
            from: try Endpoint(source), to: try Endpoint(target), map: map, retries: retries, options)
        let document = RescuePlanDocument(source: source.text, target: target.text, map: map.text, rescuePlan: plan)
        try CopyOutput.print(json ? try JSON.text(document) : CopyOutput.explain(plan.choices))
    }

    /// Rescues, and says how much. What is missing is always said.
    ///
    /// - Returns: whether nothing is.
    func run(_ signals: CopySignals, _ control: CopyControl) throws -> Bool {
        let endpoint = try Endpoint(target)
        signals.watch(control, name: endpoint.description)
        let report = try copier.rescue(
            from: try Endpoint(source), to: endpoint, map: map, retries: retries, options, control: control)
        signals.end()
        CopyOutput.say(report.notes, target.text)
        if signals.isTerminal, !json { Terminal.note(Self.summary(report) + "\n") }
        if !report.isWhole {
            Terminal.note(
                "dmactl: \(CopyFailure.quoted(target.text)) is not whole: \(Self.missing(report)). \(Self.cure(report))\n")
        }
        if json {
            let document = RescueDocument(source: source.text, target: target.text, map: map.text, rescue: report)
            try CopyOutput.print(try JSON.text(document))
        }
        return report.isWhole
    }

    static func summary(_ report: RescueReport) -> String {
        let seconds = Figures.decimal(Double(report.copyNanoseconds) / 1e9, 2)
        return "\(ByteSize.text(report.rescued)) of \(ByteSize.text(report.size)) rescued, \(ByteSize.text(report.added)) now"
            + " in \(seconds) s, \(ByteSize.text(rate: report.bytesPerSecond)); \(bad(report))"
    }

    private static func missing(_ report: RescueReport) -> String {
        "\(ByteSize.text(report.rescued)) of \(ByteSize.text(report.size)) rescued, \(bad(report))"
    }

    private static func bad(_ report: RescueReport) -> String {
        guard !report.isWhole else { return "no bad areas" }
        return "\(ByteSize.text(report.bad)) in \(report.badAreas) bad area\(report.badAreas == 1 ? "" : "s") could not be read"
    }

    private static func cure(_ report: RescueReport) -> String {
        "Run it again with the same map\(report.plan.retries == 0 ? " and --retries 3" : "") to read the bad areas again."
    }
}
