// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// read(2) and write(2): small files, files without a size, and files in the page cache. In turn, or, where the plan has a depth, the reads on a thread
/// of their own (``ReadAhead``).
struct ReadWritePath {
    let job: CopyJob

    func run() throws(CopyFailure) {
        guard let from = job.source.file, let to = job.target.file else { return }
        var limit = RateLimit(job.options.rate)
        var order = MoverOrder(from: job.start, crc: job.startCRC, counts: job.plan.checksums)
        var moved: UInt64 = 0
        var endedEarly = false
        do throws(CopyFailure) {
            if let ahead = readAhead(from) {
                defer { ahead.stop() }
                endedEarly = try move(ahead, to, &limit, &order, &moved)
            } else {
                endedEarly = try job.session.withBlock(Int(job.plan.chunk), for: job.target.name) {
                    (buffer: inout Buffer) throws(CopyFailure) in
                    try move(from, to, &buffer, &limit, &order, &moved)
                }
            }
        } catch {
            // The progress is kept, whatever the failure is.
            if job.plan.publishing == .resume, order.done > job.start { try? job.keepJournal(order.done, order.crc) }
            throw error
        }
        if let size = job.source.size, !endedEarly { order.advance(to: size) }
        job.done(end: order.done, moved: moved, crc: job.plan.checksums ? order.crc : nil)
    }

    /// The thread that reads; nil where the plan has none, and where memory or a thread for it is refused: the copy goes on without.
    private func readAhead(_ from: OpenFile) -> ReadAhead? {
        guard job.plan.depth > 1, job.source.hasPlaces, job.source.size != nil else { return nil }
        do throws(DMAError) {
            return try ReadAhead(
                from, depth: job.plan.depth, chunk: Int(job.plan.chunk), computesCRC: job.plan.checksums)
        } catch {
            job.fallInTurn(because: "read and written in turn: \(error.reason)")
            return nil
        }
    }

    /// Whether a read reached the end of the source before its reported size.
    private func move(
        _ from: OpenFile, _ to: OpenFile, _ buffer: inout Buffer, _ limit: inout RateLimit?, _ order: inout MoverOrder,
        _ moved: inout UInt64
    ) throws(CopyFailure) -> Bool {
        var extents = ExtentWalk(job.holesOf, from: job.start, to: job.source.size ?? .max)
        var progress = Progress()
        while let range = try extents.next(atMost: job.plan.chunk) {
            try job.checkCancelled(order.done)
            try limit?.waitAndCharge(UInt64(range.count), job.target.name, job.control)
            let count = try read(range, from, &buffer)
            let bytes = buffer.bytes.extracting(0..<count)
            let piece = ReadAhead.Piece(range: range, count: count, crc: job.plan.checksums ? CRC32C.of(bytes) : 0)
            try write(piece, bytes, to, &order, &moved, &progress)
            if count < range.count { return true }
        }
        return false
    }

    /// The same with a thread that reads.
    private func move(
        _ ahead: ReadAhead, _ to: OpenFile, _ limit: inout RateLimit?, _ order: inout MoverOrder, _ moved: inout UInt64
    ) throws(CopyFailure) -> Bool {
        var extents = ExtentWalk(job.holesOf, from: job.start, to: job.source.size ?? .max)
        var progress = Progress()
        var isAtEnd = false
        while !isAtEnd || ahead.isUnderWay {
            var ranges: [Range<UInt64>] = []
            for _ in 0..<ahead.room where !isAtEnd {
                if let range = try extents.next(atMost: job.plan.chunk) { ranges.append(range) } else { isAtEnd = true }
            }
            ahead.ask(ranges)
            guard ahead.isUnderWay else { return false }
            try job.checkCancelled(order.done)
            var isShort = false
            // Awake ten times a second, to notice a cancellation while a medium does not answer.
            _ = try ahead.withNext(until: .after(milliseconds: 100)) { (piece, bytes) throws(CopyFailure) in
                try limit?.waitAndCharge(UInt64(piece.count), job.target.name, job.control)
                try write(piece, bytes, to, &order, &moved, &progress)
                isShort = piece.count < piece.range.count
            }
            if isShort { return true }
        }
        return false
    }

    private struct Progress {
        var sequence: UInt64 = 0
        var lastJournal = CopyClock.now
    }

    private func write(
        _ piece: ReadAhead.Piece, _ bytes: RawSpan, _ to: OpenFile, _ order: inout MoverOrder, _ moved: inout UInt64,
        _ progress: inout Progress
    ) throws(CopyFailure) {
        try TargetWriter(job: job, file: to).write(bytes, at: piece.range.lowerBound)
        let end = piece.range.lowerBound + UInt64(piece.count)
        order.read(progress.sequence, piece.range.lowerBound..<end, crc: piece.crc)
        order.written(progress.sequence)
        progress.sequence += 1
        moved += UInt64(piece.count)
        job.control.update { $0.bytes = order.done }
        if piece.count == piece.range.count, job.plan.publishing == .resume,
            CopyClock.now - progress.lastJournal > 2_000_000_000
        {
            try job.keepJournal(order.done, order.crc)
            progress.lastJournal = CopyClock.now
        }
    }

    /// - Returns: bytes that were read: fewer than requested only at the end of the source.
    private func read(_ range: Range<UInt64>, _ from: OpenFile, _ buffer: inout Buffer) throws(CopyFailure) -> Int {
        // SAFETY: the range is at most a chunk, which is the buffer's length.
        let position = job.source.hasPlaces ? Int64(clamping: range.lowerBound) : -1
        return try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(CopyFailure) in
            guard let base = bytes.baseAddress else { return 0 }
            // The range is at most a chunk, which is the buffer's length.
            let count = unsafe cdma_read_all(from.descriptor, base, range.count, position)
            guard count >= 0 else { throw .reading(job.source.name, at: range.lowerBound, errno: Int32(-count)) }
            return Int(count)
        }
    }
}
