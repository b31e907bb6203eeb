// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// read(2) and write(2) in turn: small files, files without a size, and files in the page cache.
struct ReadWritePath {
    let job: CopyJob

    func run() throws(CopyFailure) {
        guard let from = job.source.file, let to = job.target.file else { return }
        var limit = RateLimit(job.options.rate)
        var order = MoverOrder(from: job.start, crc: job.startCRC, counts: job.plan.checksums)
        var moved: UInt64 = 0
        var endedEarly = false
        do throws(CopyFailure) {
            endedEarly = try job.session.withBlock(Int(job.plan.chunk), for: job.target.name) {
                (buffer: inout Buffer) throws(CopyFailure) in
                try move(from, to, &buffer, &limit, &order, &moved)
            }
        } catch {
            // The progress is kept, whatever the failure is.
            if job.plan.publishing == .resume, order.done > job.start { try? job.keepJournal(order.done, order.crc) }
            throw error
        }
        if let size = job.source.size, !endedEarly { order.advance(to: size) }
        job.done(end: order.done, moved: moved, crc: job.plan.checksums ? order.crc : nil)
    }

    /// Whether a read reached the end of the source before its reported size.
    private func move(
        _ from: OpenFile, _ to: OpenFile, _ buffer: inout Buffer, _ limit: inout RateLimit?, _ order: inout MoverOrder,
        _ moved: inout UInt64
    ) throws(CopyFailure) -> Bool {
        let chunk = Int(job.plan.chunk)
        var extents = ExtentWalk(job.holesOf, from: job.start, to: job.source.size ?? .max)
        var sequence: UInt64 = 0
        var lastJournal = CopyClock.now
        while let range = try extents.next(atMost: UInt64(chunk)) {
            try job.checkCancelled(order.done)
            try limit?.waitAndCharge(UInt64(range.count), job.target.name, job.control)
            let count = try transfer(range, from, to, &buffer)
            let end = range.lowerBound + UInt64(count)
            order.read(
                sequence, range.lowerBound..<end, crc: job.plan.checksums ? CRC32C.of(buffer.bytes.extracting(0..<count)) : 0)
            order.written(sequence)
            sequence += 1
            moved += UInt64(count)
            job.control.update { $0.bytes = order.done }
            if count < range.count { return true }
            if job.plan.publishing == .resume, CopyClock.now - lastJournal > 2_000_000_000 {
                try job.keepJournal(order.done, order.crc)
                lastJournal = CopyClock.now
            }
        }
        return false
    }

    /// - Returns: bytes that were read: fewer than requested only at the end of the source.
    private func transfer(
        _ range: Range<UInt64>, _ from: OpenFile, _ to: OpenFile, _ buffer: inout Buffer
    ) throws(CopyFailure) -> Int {
        // SAFETY: the range is at most a chunk, which is the buffer's length.
        let position = job.source.hasPlaces ? Int64(clamping: range.lowerBound) : -1
        let count = try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(CopyFailure) in
            guard let base = bytes.baseAddress else { return 0 }
            // The range is at most a chunk, which is the buffer's length.
            let count = unsafe cdma_read_all(from.descriptor, base, range.count, position)
            guard count >= 0 else { throw .reading(job.source.name, at: range.lowerBound, errno: Int32(-count)) }
            return Int(count)
        }
        try TargetWriter(job: job, file: to).write(buffer.bytes.extracting(0..<count), at: range.lowerBound)
        return count
    }
}
