// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The end of a source that is read at positions: where a read returns 0, whatever size the file reported.
///
/// The size is the one that the file reported when it was opened. A generated file may report any size, and the size of a network file may
/// be out of date. So data after that size is copied too, and a file that ends before it is complete, unless it was written meanwhile.
struct SourceEnd {
    let job: CopyJob

    func reach() throws(CopyFailure) {
        guard let from = job.source.file, job.source.hasPlaces, let size = job.source.size else { return }
        if try copiesRest(from, size) { return }
        guard let before = job.source.facts, before.kind == .regular else {
            guard job.report.bytes >= size else { throw Self.shrank(job.source.name, job.report.bytes) }
            return
        }
        let now = try from.facts()
        if now.size < before.size || job.report.bytes < size && job.source.wasWritten(now) {
            throw Self.shrank(job.source.name, min(now.size, job.report.bytes))
        }
        if now.modified != before.modified {
            job.note("the source was written during the copy, which may therefore hold old and new data")
        }
    }

    /// Copies what follows the reported size. True where that has been written to the source since it was opened: it is noted and not copied,
    /// because it may grow without end.
    private func copiesRest(_ from: OpenFile, _ size: UInt64) throws(CopyFailure) -> Bool {
        // SAFETY: the call writes at most the one byte of a local variable.
        var byte: UInt8 = 0
        let any = unsafe cdma_read_all(from.descriptor, &byte, 1, Int64(clamping: job.report.bytes))
        guard any >= 0 else { throw .reading(job.source.name, at: job.report.bytes, errno: Int32(-any)) }
        if any == 0 { return false }
        if try isGrowth(from, size) { return true }
        var buffer: Buffer
        do throws(DMAError) { buffer = try Buffer(count: 1 << 20, alignment: 4096) } catch {
            throw .engine(job.target.name, error, to: "get memory for")
        }
        let sink = try job.localTarget()
        var limit = RateLimit(job.options.rate)
        while try copyPiece(from, &buffer, &limit, sink) > 0 {
            try job.checkCancelled(job.report.bytes)
            job.control.update { $0.bytes = job.report.bytes }
            if try isGrowth(from, size) { return true }
        }
        return false
    }

    private func isGrowth(_ from: OpenFile, _ size: UInt64) throws(CopyFailure) -> Bool {
        guard job.report.bytes >= size, let before = job.source.facts else { return false }
        let now = try from.facts()
        guard now.size > max(before.size, job.report.bytes), job.source.wasWritten(now) else { return false }
        job.note(
            "the source grew from \(before.size) to \(now.size) bytes during the copy: the first \(job.report.bytes) were copied"
        )
        return true
    }

    /// One read and its write.
    ///
    /// - Returns: bytes that were read.
    private func copyPiece(
        _ from: OpenFile, _ buffer: inout Buffer, _ limit: inout RateLimit?, _ sink: MoverTarget?
    ) throws(CopyFailure) -> UInt64 {
        // SAFETY: the call writes at most as many bytes as the buffer has; what is written out are bytes that were read in.
        let place = job.report.bytes
        let length = buffer.count
        let count = try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(CopyFailure) in
            guard let base = bytes.baseAddress else { return 0 }
            let count = unsafe cdma_read_all(from.descriptor, base, length, Int64(clamping: place))
            guard count >= 0 else { throw .reading(job.source.name, at: place, errno: Int32(-count)) }
            return Int(count)
        }
        guard count > 0 else { return 0 }
        try limit?.waitAndCharge(UInt64(count), job.target.name, job.control)
        let piece = buffer.bytes.extracting(0..<count)
        if let sink {
            try sink.take(piece, at: place)
        } else if let to = job.target.file {
            try TargetWriter(job: job, file: to).write(piece, at: place)
        }
        job.continued(by: UInt64(count), crc: job.report.crc32c == nil ? 0 : CRC32C.of(piece))
        return UInt64(count)
    }

    static func shrank(_ name: String, _ end: UInt64) -> CopyFailure {
        CopyFailure(
            .sourceShrank, name, asked: "copy", possible: "it became shorter during the copy, and ends at byte \(end)",
            cure: "Copy it again while no other process writes it.")
    }
}
