// SPDX-License-Identifier: Apache-2.0

import DMACopy

/// The files of a list: a file that fails does not stop the others.
struct CopyListRun {
    let copier: Copier
    let options: CopyOptions
    let folder: CopyPath
    let json: Bool

    /// Copies them.
    ///
    /// - Throws: `badList` where some were not copied, `cancelled` after a signal; the document is printed before.
    func copy(_ paths: [CopyPath], _ signals: CopySignals) throws {
        var document = CopyListDocument(folder: folder.text)
        var stopped: CopyFailure?
        var places: [CopyPath: CopyPath] = [:]
        let folders = ListFolders(below: folder, preserves: options.preserves)
        CopyBatch.raiseFileLimit()
        var batch = CopyBatch(copier, options)
        var control = CopyControl()
        for path in paths where stopped == nil {
            control = CopyControl()
            signals.watch(control, name: path.text)
            do throws(CopyFailure) {
                let target = try folders.place(path)
                if try isTaken(target, by: path, &places) { continue }
                take(batch.add(path, to: target, control), &document, &stopped)
            } catch { fail(path, error, control.progress, &document, &stopped) }
        }
        take(batch.finish(control), &document, &stopped)
        let hasFolders = folders.hasCreated
        for (path, note) in folders.finish() { CopyOutput.say([note], path.text) }
        signals.end()
        do throws(CopyFailure) { try batch.flush(folder, hasFolders: hasFolders) } catch { stopped = stopped ?? error }
        if json { try CopyOutput.print(try JSON.text(document)) }
        if let stopped { throw stopped }
        try sum(document.failed.count, of: paths.count, "copied")
    }

    private func take(_ outcomes: [CopyBatch.Outcome], _ document: inout CopyListDocument, _ stopped: inout CopyFailure?) {
        for outcome in outcomes {
            switch outcome.result {
            case .success(let report):
                CopyOutput.say(report, outcome.source, isTerminal: false)
                document.copied.append(CopyDocument(outcome.source, outcome.target, report))
            case .failure(let failure): fail(outcome.source, failure, outcome.progress, &document, &stopped)
            }
        }
    }

    private func fail(
        _ path: CopyPath, _ failure: CopyFailure, _ progress: CopyProgress, _ document: inout CopyListDocument,
        _ stopped: inout CopyFailure?
    ) {
        document.failed.append(FailureDocument(path, folder, failure, progress))
        if failure.code == .cancelled { stopped = stopped ?? failure } else { CopyOutput.say(failure, path.text) }
    }

    /// Prints their plans, and copies nothing.
    ///
    /// - Throws: `badList` where some cannot be copied; the plans of the others are printed before.
    func explain(_ paths: [CopyPath]) throws {
        var document = CopyPlanListDocument(folder: folder.text)
        var places: [CopyPath: CopyPath] = [:]
        for path in paths {
            do throws(CopyFailure) {
                let place = try CopyList.planned(path, below: folder)
                if try isTaken(place.path, by: path, &places) { continue }
                let plan = try copier.plan(from: .path(path), to: .path(place.standIn), options)
                document.plans.append(PlanDocument(source: path.text, target: place.path.text, plan: plan))
                if !json { try CopyOutput.print(CopyFailure.quoted(path.text) + "\n" + CopyOutput.explain(plan) + "\n") }
            } catch {
                document.failed.append(FailureDocument(path, folder, error, CopyProgress()))
                CopyOutput.say(error, path.text)
            }
        }
        if json { try CopyOutput.print(try JSON.text(document)) }
        try sum(document.failed.count, of: paths.count, "planned")
    }

    /// Whether this file of the list has been copied already, under this name or another.
    ///
    /// - Throws: `badList` where another file was copied to this place, and would be overwritten.
    private func isTaken(
        _ target: CopyPath, by path: CopyPath, _ places: inout [CopyPath: CopyPath]
    ) throws(CopyFailure) -> Bool {
        guard let earlier = places[target] else {
            places[target] = path
            return false
        }
        if try CopyList.isSameFile(earlier, path) { return true }
        throw CopyFailure(
            .badList, path.text, asked: "copy",
            possible: "\(CopyFailure.quoted(earlier.text)) of the same list was copied to \(CopyFailure.quoted(target.text))",
            cure: "Run find in one directory, or copy to two directories.")
    }

    private func sum(_ failed: Int, of all: Int, _ what: String) throws {
        guard failed > 0 else { return }
        throw CopyFailure(
            .badList, folder.text, asked: "copy all files of the list to",
            possible: "\(failed) of \(all) files were not \(what)",
            cure: "See the reasons above.")
    }
}
