// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Reads a file back and counts its CRC32C: what was really written, or what an interrupted copy left.
struct ReadBack {
    let file: OpenFile
    let name: String
    let control: CopyControl

    /// CRC32C of the file's bytes `start ..< end`, holes counted; through the page cache, one block after the other.
    ///
    /// - Throws: `readFailed`, `cancelled`; `verifyFailed` where the file is shorter.
    func crc(_ start: UInt64, _ end: UInt64) throws(CopyFailure) -> UInt32 {
        // SAFETY: the range is at most a chunk, which is the buffer's length.
        let chunk: UInt64 = 1 << 20
        var buffer: Buffer
        do throws(DMAError) { buffer = try Buffer(count: Int(chunk), alignment: 4096) } catch {
            throw .engine(name, error, while: "a block of memory")
        }
        var order = MoverOrder(from: start, crc: 0, counts: true)
        var extents = ExtentWalk(file, from: start, to: end)
        var sequence: UInt64 = 0
        while let range = try extents.next(atMost: chunk) {
            if control.isCancelled { throw .cancelled(name, after: order.done) }
            let count = try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(CopyFailure) in
                guard let base = bytes.baseAddress else { return 0 }
                // The range is at most a chunk, which is the buffer's length.
                let count = unsafe cdma_read_all(file.descriptor, base, range.count, Int64(clamping: range.lowerBound))
                guard count >= 0 else { throw .reading(name, at: range.lowerBound, errno: Int32(-count)) }
                return Int(count)
            }
            guard count == range.count else { throw shorter(range.lowerBound + UInt64(count), end) }
            order.read(sequence, range, crc: CRC32C.of(buffer.bytes.extracting(0..<count)))
            order.written(sequence)
            sequence += 1
            control.update { $0.bytes = order.done }
        }
        // Behind the last data, a hole and the end of the file look alike.
        let facts = try file.facts()
        guard facts.kind != .regular || facts.size >= end else { throw shorter(facts.size, end) }
        order.advance(to: end)
        control.update { $0.bytes = end }
        return order.crc
    }

    private func shorter(_ size: UInt64, _ end: UInt64) -> CopyFailure {
        CopyFailure(
            .verifyFailed, name, asked: "to read back \(end) bytes", possible: "\(size): the file is shorter",
            cure: "see who else writes it, and copy again")
    }

    /// Drops the file's pages from the cache, so that reading it means reading the medium. They must be flushed.
    func forget() { _ = cdma_drop_cache(file.descriptor, 0, 0) }
}
