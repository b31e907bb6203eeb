// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The source and the target of a rescue: one request at a time, so that a failing drive retries one place and no other.
///
/// Not thread-safe.
struct RescueFiles: ~Copyable, RescueMedium {
    private let source: OpenFile
    private let sourceKind: FileKind
    private let target: OpenTarget
    private let size: UInt64
    /// Requests to the source start and end at multiples of this. A power of two.
    private let sector: UInt64
    private var isDirect: Bool
    private var buffer: Buffer
    private var limit: RateLimit?
    private let control: CopyControl
    /// Why direct I/O was given up, if it was.
    private(set) var note: String?

    init(
        _ source: CopySource, _ file: OpenFile, _ target: OpenTarget, _ plan: RescuePlan, rate: UInt64?, _ control: CopyControl
    ) throws(CopyFailure) {
        self.source = file
        sourceKind = source.facts?.kind ?? .other
        self.target = target
        size = plan.size
        sector = plan.sector
        isDirect = plan.source == .direct
        limit = RateLimit(rate)
        self.control = control
        // A request is widened to whole sectors on both sides.
        do throws(DMAError) {
            buffer = try Buffer(count: Int(plan.block + 2 * plan.sector), alignment: 4096)
        } catch { throw .engine(source.name, error, to: "get memory to read") }
    }

    mutating func copy(_ range: Range<UInt64>) throws(CopyFailure) -> UInt64 {
        try limit?.waitAndCharge(UInt64(range.count), target.name, control)
        let start = range.lowerBound & ~(sector - 1)
        let end = (range.upperBound + sector - 1) & ~(sector - 1)
        let came = try read(start, Int(end - start), wanted: Int(range.upperBound - start))
        let lead = Int(range.lowerBound - start)
        guard came > lead else { return 0 }
        let count = min(came - lead, range.count)
        try write(lead..<(lead + count), at: range.lowerBound)
        return UInt64(count)
    }

    // MARK: Reading

    /// Reads from `start` on until `wanted` bytes have come, or a read fails.
    ///
    /// - Returns: how many came, whole sectors where a read failed.
    private mutating func read(_ start: UInt64, _ count: Int, wanted: Int) throws(CopyFailure) -> Int {
        // SAFETY: the call writes at most `count - came` bytes behind the first `came`; `count` is at most the buffer's length, which is
        // checked.
        var came = 0
        while came < wanted {
            let file = source
            let place = start + UInt64(came)
            let result = unsafe buffer.withUnsafeMutableBytes { bytes -> Int64 in
                guard let base = bytes.baseAddress, count <= bytes.count else { return -Int64(EINVAL) }
                // The call writes at most what is left of the buffer behind `came`.
                return unsafe cdma_read_at(file.descriptor, base + came, count - came, place)
            }
            if result > 0 {
                came += Int(result)
                // The next request starts at a whole sector, which is read again where the last one ended within it.
                if came < wanted { came &= ~Int(sector - 1) }
                if came == 0 { return 0 }
                continue
            }
            guard result < 0 else { throw SourceEnd.shrank(source.path, place) }
            if isDirect, result == -Int64(EINVAL) {
                try readThroughCache()
                continue
            }
            guard Self.isOfMedium(Int32(-result)) else { throw .reading(source.path, at: place, errno: Int32(-result)) }
            try checkIsThere(place, Int32(-result))
            return came
        }
        return came
    }

    /// The file system or device refused direct I/O.
    private mutating func readThroughCache() throws(CopyFailure) {
        isDirect = false
        note = "read through the page cache: direct I/O was refused"
        let flags = cdma_status_flags(source.descriptor)
        let result = flags < 0 ? flags : cdma_set_status_flags(source.descriptor, flags & ~CDMA_O_DIRECT)
        guard result == 0 else { throw .reading(source.path, at: 0, errno: -result) }
        _ = cdma_advise_random(source.descriptor)
    }

    /// Whether an error says that this place of the medium cannot be read, and not that nothing can.
    ///
    /// Source: block/blk-core.c, blk_errors, of Linux 6.18: what the block layer answers for the states of a request.
    private static func isOfMedium(_ errno: Int32) -> Bool {
        [EIO, ENODATA, EREMOTEIO, EILSEQ, EBADMSG, ETIMEDOUT, ENOLINK].contains(errno)
    }

    /// A drive that was unplugged answers EIO at every place, and would be taken for one without a readable sector.
    private func checkIsThere(_ place: UInt64, _ errno: Int32) throws(CopyFailure) {
        // SAFETY: the C function writes a local variable.
        guard sourceKind == .block else { return }
        var bytes: UInt64 = 0
        guard unsafe cdma_block_size(source.descriptor, &bytes) != 0 || bytes < size else { return }
        throw CopyFailure(
            .readFailed, source.path, asked: "read", possible: "the device has gone (at offset \(place))",
            cure: "Connect it again, and run the rescue again with the same map.", errno: errno)
    }

    // MARK: Writing

    /// Writes bytes of the buffer. Zeros where the target has a hole stay a hole.
    private mutating func write(_ part: Range<Int>, at offset: UInt64) throws(CopyFailure) {
        // SAFETY: `part` lies within the bytes that were read.
        guard let file = target.file else { return }
        let isSparse = target.facts?.kind == .regular
        let result: Int64 = unsafe buffer.bytes.extracting(part).withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            // Both read as many bytes as the span has.
            if isSparse, unsafe cdma_is_zero(base, bytes.count), Self.isHole(file, offset, UInt64(bytes.count)) { return 0 }
            return unsafe cdma_write_all(file.descriptor, base, bytes.count, Int64(clamping: offset))
        }
        guard result >= 0 else { throw .writing(target.name, at: offset, errno: Int32(-result)) }
    }

    private static func isHole(_ file: OpenFile, _ offset: UInt64, _ count: UInt64) -> Bool {
        let data = cdma_seek(file.descriptor, Int64(clamping: offset), CDMA_SEEK_DATA)
        return data == -Int64(ENXIO) || data >= 0 && UInt64(data) >= offset + count
    }
}
