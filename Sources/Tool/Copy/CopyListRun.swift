// SPDX-License-Identifier: Apache-2.0

import DMACopy

/// The files of a list, one after the other: what fails does not keep the others.
struct CopyListRun {
    let copier: Copier
    let options: CopyOptions
    let folder: String
    let json: Bool

    /// Copies them.
    ///
    /// - Throws: `badList` where some were not copied, `cancelled` where a signal ended it; the document is printed before.
    func copy(_ paths: [String], _ signals: CopySignals) throws {
        var document = CopyListDocument(folder: folder)
        var stopped: CopyFailure?
        var places: [String: String] = [:]
        for path in paths where stopped == nil {
            let control = CopyControl()
            signals.watch(control, name: path)
            do throws(CopyFailure) {
                let target = try CopyList.place(path, below: folder)
                if try isTaken(target, by: path, &places) { continue }
                let report = try copier.copy(from: .path(path), to: .path(target), options, control: control)
                CopyOutput.say(report, path, isTerminal: false)
                document.copied.append(CopyDocument(source: path, target: target, report: report))
            } catch {
                document.failed.append(FailureDocument(path, folder, error, control.progress))
                if error.code == .cancelled { stopped = error } else { Terminal.note("dmactl: \(error)\n") }
            }
        }
        signals.end()
        if json { try CopyOutput.print(try JSON.text(document)) }
        if let stopped { throw stopped }
        try sum(document.failed.count, of: paths.count, "copied")
    }

    /// Plans them, and copies nothing.
    ///
    /// - Throws: `badList` where some cannot be copied; the plans of the others are printed before.
    func explain(_ paths: [String]) throws {
        var document = CopyPlanListDocument(folder: folder)
        var places: [String: String] = [:]
        for path in paths {
            do throws(CopyFailure) {
                let place = try CopyList.planned(path, below: folder)
                if try isTaken(place.path, by: path, &places) { continue }
                let plan = try copier.plan(from: .path(path), to: .path(place.standIn), options)
                document.plans.append(PlanDocument(source: path, target: place.path, plan: plan))
                if !json { try CopyOutput.print(CopyFailure.quoted(path) + "\n" + CopyOutput.explain(plan) + "\n") }
            } catch {
                document.failed.append(FailureDocument(path, folder, error, CopyProgress()))
                Terminal.note("dmactl: \(error)\n")
            }
        }
        if json { try CopyOutput.print(try JSON.text(document)) }
        try sum(document.failed.count, of: paths.count, "planned")
    }

    /// Whether a file of the list has been copied already.
    ///
    /// - Throws: `badList` where it was another file that has this place: it would be lost.
    private func isTaken(_ target: String, by path: String, _ places: inout [String: String]) throws(CopyFailure) -> Bool {
        guard let earlier = places[target] else {
            places[target] = path
            return false
        }
        if earlier == path { return true }
        throw CopyFailure(
            .badList, path, asked: "to copy it to \(target)", possible: "not over \(earlier) of the same list",
            cure: "run find from one place, or copy into two directories")
    }

    private func sum(_ failed: Int, of all: Int, _ what: String) throws {
        guard failed > 0 else { return }
        Terminal.note("dmactl: \(failed) of \(all) files were not \(what)\n")
        throw CopyFailure(
            .badList, folder, asked: "all \(all) files", possible: "\(all - failed) of them", cure: "see the reasons above")
    }
}
