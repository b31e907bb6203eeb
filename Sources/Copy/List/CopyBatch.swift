// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Copies many files, and waits for the medium once for all of a batch: their bytes are written, the file system is flushed, they get their
/// names, and it is flushed again. Each is whole or not there at all, as a single copy is.
package struct CopyBatch {
    /// What became of one file.
    package struct Outcome {
        /// As the list has it.
        package let source: CopyPath
        /// Where it went.
        package let target: CopyPath
        /// What was done, or why not.
        package let result: Result<CopyReport, CopyFailure>
        /// How far it came.
        package let progress: CopyProgress
    }

    private struct Staged {
        let copy: StagedCopy
        let source: CopyPath
        let target: CopyPath
        let control: CopyControl

        func outcome(_ result: Result<CopyReport, CopyFailure>) -> Outcome {
            Outcome(source: source, target: target, result: result, progress: control.progress)
        }
    }

    /// Files of a batch at most, each of which has a descriptor; and their bytes at most.
    private static let mostFiles = 256
    private static let mostBytes: UInt64 = 64 << 20

    private let copier: Copier
    private let options: CopyOptions
    private let session = CopySession()
    private var staged: [Staged] = []
    private var bytes: UInt64 = 0
    private var links = ListLinks()

    /// For the files of one list.
    package init(_ copier: Copier, _ options: CopyOptions) {
        self.copier = copier
        self.options = options
    }

    /// Copies one file, or brings its bytes and lets it wait for others.
    ///
    /// - Returns: what became of files that are over now, in the order in which they came.
    package mutating func add(_ source: CopyPath, to target: CopyPath, _ control: CopyControl) -> [Outcome] {
        var outcomes: [Outcome] = []
        do throws(CopyFailure) {
            if let report = try link(source, target, control, &outcomes) {
                outcomes.append(Outcome(source: source, target: target, result: .success(report), progress: control.progress))
                return outcomes
            }
            var copy: StagedCopy
            do throws(CopyFailure) { copy = try open(source, target, control) } catch {
                // Those that wait have the descriptors.
                guard error.errno == EMFILE || error.errno == ENFILE, !staged.isEmpty else { throw error }
                outcomes += finish(control)
                copy = try open(source, target, control)
            }
            try copy.move()
            if options.preserves { links.remember(copy.job.source.facts, copy.job.target.facts, target, copy.report.plan) }
            guard copy.mayWait else {
                outcomes += finish(control)
                try copy.publish()
                outcomes.append(
                    Outcome(source: source, target: target, result: .success(copy.report), progress: control.progress))
                return outcomes
            }
            try copy.complete()
            try copy.job.source.file?.close()
            staged.append(Staged(copy: copy, source: source, target: target, control: control))
            bytes += copy.report.bytes
            if staged.count >= Self.mostFiles || bytes >= Self.mostBytes { outcomes += finish(control) }
        } catch {
            outcomes.append(Outcome(source: source, target: target, result: .failure(error), progress: control.progress))
        }
        return outcomes
    }

    /// Gives their names to the files that wait.
    ///
    /// - Parameter control: whether somebody has asked for the end: then they are put away.
    package mutating func finish(_ control: CopyControl) -> [Outcome] {
        defer { (staged, bytes) = ([], 0) }
        var outcomes: [Outcome] = []
        var named: [Staged] = []
        let flushed = flush(staged)
        for file in staged {
            do throws(CopyFailure) {
                if control.isCancelled {
                    throw file.copy.abandoned(.cancelled(file.target.text, after: file.copy.report.bytes))
                }
                if let failure = flushed[file.copy.fileSystem] { throw file.copy.abandoned(failure) }
                try file.copy.giveName()
                named.append(file)
                outcomes.append(file.outcome(.success(file.copy.report)))
            } catch { outcomes.append(file.outcome(.failure(error))) }
        }
        let settled = flush(named)
        var lost: [CopyPath: CopyFailure] = [:]
        for file in named {
            do throws(CopyFailure) {
                if let failure = settled[file.copy.fileSystem] { throw failure }
                try file.copy.close()
            } catch { lost[file.target] = error }
        }
        guard !lost.isEmpty else { return outcomes }
        return outcomes.map { outcome in
            guard let failure = lost[outcome.target] else { return outcome }
            return Outcome(
                source: outcome.source, target: outcome.target, result: .failure(failure), progress: outcome.progress)
        }
    }

    /// Flushes what was made beside files, when the last one is over: names, and the attributes of directories.
    ///
    /// - Throws: `flushFailed`.
    package func flush(_ folder: CopyPath) throws(CopyFailure) {
        if options.flushes { _ = try OpenFile(directory: folder).flushFileSystem() }
    }

    private func open(
        _ source: CopyPath, _ target: CopyPath, _ control: CopyControl
    ) throws(CopyFailure) -> StagedCopy {
        try StagedCopy(copier, from: .path(source), to: .path(target), options, plan: nil, session, control, isExact: true)
    }

    /// Flushes each file system of these files once, or where that is not to be had each file and its directory. Those that could not be.
    private func flush(_ files: [Staged]) -> [UInt64: CopyFailure] {
        var flushed: [UInt64: Bool] = [:]
        var failures: [UInt64: CopyFailure] = [:]
        for file in files {
            let (number, target) = (file.copy.fileSystem, file.copy.job.target)
            do throws(CopyFailure) {
                if flushed[number] == nil { flushed[number] = try target.file?.flushFileSystem() ?? true }
                if flushed[number] == false {
                    try target.file?.flush()
                    try target.directory?.flush()
                }
            } catch {
                flushed[number] = true
                failures[number] = error
            }
        }
        return failures
    }

    /// Another name of a file that was copied before, where the source is one.
    private mutating func link(
        _ source: CopyPath, _ target: CopyPath, _ control: CopyControl, _ outcomes: inout [Outcome]
    ) throws(CopyFailure) -> CopyReport? {
        guard options.preserves, options.treatment == .replace, let first = try links.first(of: source) else { return nil }
        // It needs its name.
        if staged.contains(where: { $0.target == first.target }) { outcomes += finish(control) }
        return try links.make(target, first, session)
    }
}
