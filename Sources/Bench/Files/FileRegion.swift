// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import Glibc

/// One lane's part of a file, and what its bytes must be.
struct FileRegion: Sendable {
    /// Keeps it open.
    let file: BenchFile
    let walk: PlaceWalk
    let isRead: Bool
    let isDirect: Bool

    /// Bytes of the part of one lane: whole pages where it can be, for direct transfers.
    static func part(_ settings: BenchSettings, threads: Int) -> Int {
        let part = settings.fileSize / max(threads, 1)
        return part >= 4096 ? part & ~4095 : part
    }

    /// The part of lane `number`; it holds a transfer at least, or the runner leaves the point out.
    init(_ file: BenchFile, _ point: BenchPoint, _ settings: BenchSettings, number: Int, salt: UInt64) {
        let part = FileRegion.part(settings, threads: point.threads)
        self.file = file
        isRead = point.operation == .fromPeripheral
        isDirect = settings.direct
        walk = PlaceWalk(
            base: number * part, bytes: point.bytes, places: max(part / point.bytes, 1), access: settings.access, salt: salt)
    }

    /// Reads back what the first `steps` transfers wrote, each place once.
    ///
    /// - Throws: `kernelRefused`.
    func readBack(_ steps: Int) throws(DMAError) -> (verified: Int, wrong: Int) {
        var expected = [UInt8](repeating: 0, count: walk.bytes)
        var found = expected
        var span = expected.mutableSpan
        // Eight-bit integers: any byte is one.
        // SAFETY: eight-bit integers have no pattern that is none. The C function writes at most the array's own length, and the array
        // lives through the call; `count` is no more than that.
        var block = unsafe span.mutableBytes
        walk.fill(&block)
        var (verified, wrong) = (0, 0)
        for step in 0..<min(steps, walk.places) {
            let position = walk.position(step)
            walk.mark(&block, position)
            let count = unsafe found.withUnsafeMutableBytes {
                unsafe cdma_read_all(file.descriptor, $0.baseAddress, $0.count, Int64(position))
            }
            guard count >= 0 else { throw DMAError(.kernelRefused, errno: Int32(clamping: -count)) }
            verified += walk.bytes
            wrong += unsafe FileRegion.differing(block.bytes, found.span.bytes, Int(count))
        }
        return (verified, wrong)
    }

    /// What is not there, at the file's end, is wrong.
    private static func differing(_ expected: RawSpan, _ found: RawSpan, _ count: Int) -> Int {
        let missing = expected.byteCount - count
        let expected = expected.extracting(first: count)
        return missing + Check.differing(expected, found, count)
    }
}
