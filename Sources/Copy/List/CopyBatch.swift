// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Copies many files, and flushes the medium once for a batch of them: their data is written, the file system is flushed, they get their
/// names, and it is flushed again. Each file is complete or absent, as after a single copy.
package struct CopyBatch {
    /// The result for one file.
    package struct Outcome {
        /// The path in the list.
        package let source: CopyPath
        /// The path of the copy.
        package let target: CopyPath
        /// What was done, or why it failed.
        package let result: Result<CopyReport, CopyFailure>
        /// The progress that it made.
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

    /// Bytes of a batch at most.
    private static let mostBytes: UInt64 = 64 << 20
    /// Files of a batch at most, each of which has an open descriptor: what the limit of this process leaves.
    private let mostFiles = min(max(FileLimit.current - 128, 32), 4096)
    /// Whether names were made that no flush has covered.
    private var hasUnflushed = false

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

    /// Copies one file, or writes its data and leaves its name to ``finish(_:)``.
    ///
    /// - Returns: the results of files that are finished now, in the order of the list.
    package mutating func add(_ source: CopyPath, to target: CopyPath, _ control: CopyControl) -> [Outcome] {
        var outcomes: [Outcome] = []
        do throws(CopyFailure) {
            if let report = try link(source, target, control, &outcomes) {
                hasUnflushed = true
                outcomes.append(Outcome(source: source, target: target, result: .success(report), progress: control.progress))
                return outcomes
            }
            var copy: StagedCopy
            do throws(CopyFailure) { copy = try open(source, target, control) } catch {
                // The files that wait hold the descriptors.
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
            if staged.count >= mostFiles || bytes >= Self.mostBytes { outcomes += finish(control) }
        } catch {
            outcomes.append(Outcome(source: source, target: target, result: .failure(error), progress: control.progress))
        }
        return outcomes
    }

    /// Gives the files that wait their names.
    ///
    /// - Parameter control: if it is cancelled, they are removed.
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

    /// Flushes what was made beside files, after the last one: names, and the attributes of directories.
    ///
    /// - Parameter hasFolders: whether directories were created.
    /// - Throws: `flushFailed`.
    package func flush(_ folder: CopyPath, hasFolders: Bool) throws(CopyFailure) {
        if options.flushes, hasFolders || hasUnflushed { _ = try OpenFile(directory: folder).flushFileSystem() }
    }

    /// Raises the soft limit of open files, for large batches. For a program of its own, not for one that starts others or uses select(2).
    package static func raiseFileLimit() { FileLimit.raise(to: 4352) }

    private func open(
        _ source: CopyPath, _ target: CopyPath, _ control: CopyControl
    ) throws(CopyFailure) -> StagedCopy {
        try StagedCopy(copier, from: .path(source), to: .path(target), options, plan: nil, session, control, isExact: true)
    }

    /// Flushes each file system of these files once, or where that is not supported each file and its directory.
    ///
    /// - Returns: why the flush failed, by the number of the file system.
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

    /// Links the copy of a file that was copied before under another name, where the source is one.
    private mutating func link(
        _ source: CopyPath, _ target: CopyPath, _ control: CopyControl, _ outcomes: inout [Outcome]
    ) throws(CopyFailure) -> CopyReport? {
        guard options.preserves, options.treatment == .replace, let first = try links.first(of: source) else { return nil }
        // A link needs the name of the first copy.
        if staged.contains(where: { $0.target == first.target }) { outcomes += finish(control) }
        return try links.make(target, first, session)
    }
}
