// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Reads a file back and computes its CRC32C: of what has been written, or of what an interrupted copy wrote.
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
            throw .engine(name, error, to: "get memory for")
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
            guard count == range.count else { throw Self.shorter(name, range.lowerBound + UInt64(count), end) }
            order.read(sequence, range, crc: CRC32C.of(buffer.bytes.extracting(0..<count)))
            order.written(sequence)
            sequence += 1
            control.update { $0.bytes = order.done }
        }
        // lseek(2) reports a hole at the end and the end of the file alike; a read tells them apart.
        if order.done < end {
            // SAFETY: the call writes at most the one byte of a local variable.
            var byte: UInt8 = 0
            let last = unsafe cdma_read_all(file.descriptor, &byte, 1, Int64(clamping: end - 1))
            guard last >= 0 else { throw .reading(name, at: end - 1, errno: Int32(-last)) }
            guard last == 1 else { throw Self.shorter(name, try file.facts().size, end) }
        }
        order.advance(to: end)
        control.update { $0.bytes = end }
        return order.crc
    }

    static func shorter(_ name: String, _ size: UInt64, _ end: UInt64) -> CopyFailure {
        CopyFailure(
            .verifyFailed, name, asked: "verify", possible: "it has \(size) bytes, and \(end) were written",
            cure: "Copy again while no other process writes it.")
    }

    /// Drops the file's pages from the page cache, so that the next read comes from the medium. They must have been flushed.
    func forget() { _ = cdma_drop_cache(file.descriptor, 0, 0) }

    /// How much of the range is in the page cache, where the kernel reports it (cachestat(2)) and there is a medium: tmpfs and ramfs have none.
    func cachedBytes(from start: UInt64, count: UInt64) -> UInt64 {
        // SAFETY: the C function writes two local variables.
        guard let kind = Room(file)?.kind, kind != 0x0102_1994, kind != 0x8584_58f6, count > 0 else { return 0 }
        var pages: UInt64 = 0
        var dirty: UInt64 = 0
        guard unsafe cdma_cache_state(file.descriptor, start, count, &pages, &dirty) == 0 else { return 0 }
        return min(pages.multipliedReportingOverflow(by: UInt64(cdma_page_size())).partialValue, count)
    }
}
