// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The end of a source that is read by place: where a read answers 0, whatever its size promised.
///
/// The size is what the file said when it was opened. Files that are made as they are read say what they like, and a network file's may be
/// old. So what lies behind is copied as well, and a file that ends before its size is whole, unless it was written meanwhile.
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
            job.note("the source was written meanwhile: the copy may hold old and new bytes")
        }
    }

    /// Copies what lies behind. True where that is what was written to the source since it was opened, which is said and not copied: it
    /// may have no end.
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
            "the source grew from \(before.size) to \(now.size) bytes meanwhile: the first \(job.report.bytes) were copied")
        return true
    }

    /// One read and its write. How much came.
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
            .sourceShrank, name, asked: "copy", possible: "it became shorter meanwhile, and ends at byte \(end)",
            cure: "stop who writes it, and copy again")
    }
}
