// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMA
internal import DMACore
internal import DMAUnits

/// Reads back what was written, by direct I/O or after dropping it from the page cache, and compares its CRC32C with that of the source.
struct Verification {
    let job: CopyJob
    let system: DMASystem

    func run() throws(CopyFailure) {
        guard let file = job.target.file else { return }
        job.enter(.verifying, total: job.report.bytes)
        let back = ReadBack(file: file, name: job.target.name, control: job.control)
        back.forget()
        let expected: UInt32
        if let crc = job.report.crc32c {
            expected = crc
        } else if let from = job.source.file {
            expected = try ReadBack(file: from, name: job.source.name, control: job.control).crc(0, job.report.bytes)
        } else {
            return
        }
        let found = try readBack(file, back)
        guard found == expected else { throw try mismatch(file, expected, found) }
        job.report.crc32c = expected
        job.report.verified = true
    }

    private func mismatch(_ file: OpenFile, _ expected: UInt32, _ found: UInt32) throws(CopyFailure) -> CopyFailure {
        let end = job.target.base + job.report.bytes
        let isShared = job.target.isAppended
        let othersWrote = isShared ? try file.facts().size != end : false
        return CopyFailure(
            .verifyFailed, job.target.name, asked: "verify",
            possible: othersWrote
                ? "another process appended during the copy, and its data cannot be told apart from that of the copy"
                : "CRC32C \(String(expected, radix: 16)) was written, and \(String(found, radix: 16)) was read back",
            cure: othersWrote
                ? "Copy while no other process appends, or do not verify."
                : "Copy again. If it fails again, the device or its memory is damaged (see dmesg and smartctl).")
    }

    /// By the engine where the target was written by direct I/O, so that the data comes from the medium; else through the page cache, from
    /// which the file was dropped.
    private func readBack(_ file: OpenFile, _ back: ReadBack) throws(CopyFailure) -> UInt32 {
        let base = job.target.base
        // Pages that could not be dropped are read instead of the medium; a file in memory has no medium.
        let kept = back.cachedBytes(from: base, count: job.report.bytes)
        guard job.plan.path == .engine, job.plan.target == .direct else {
            if kept > 0 {
                let amount = ByteSize.text(kept)
                job.note(
                    "verified partly from the page cache: \(amount) could not be dropped from it, and were not read from the medium"
                )
            }
            return try back.crc(base, base + job.report.bytes)
        }
        var task = MoverTask(
            source: .zero, target: .null, sourceName: job.target.name, targetName: job.target.name, chunk: job.plan.chunk,
            depth: job.plan.depth)
        task.end = job.report.bytes
        task.holesOf = job.target.facts?.kind == .regular && base == 0 ? file : nil
        task.counts = true
        let end = EngineEnd<MoverSource>.file(file, isDirect: true, isStream: false, base: base)
        let moved = try EngineRun(job.plan, system, job.control).run(from: end, to: .local(.null), task).moved
        guard moved.end == job.report.bytes else { throw ReadBack.shorter(job.target.name, moved.end, job.report.bytes) }
        return moved.crc
    }
}
