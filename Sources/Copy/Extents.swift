// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Iterates over the data of a file and skips its holes: lseek(2) with SEEK_DATA and SEEK_HOLE.
///
/// A file system without holes reports that everything is data. Bounded: each step goes forward, or ends the iteration.
struct ExtentWalk {
    private let file: OpenFile?
    private let end: UInt64
    /// Where the next piece starts at the earliest.
    private var place: UInt64
    /// The end of the data that `place` is in.
    private var dataEnd: UInt64

    /// The bytes `start ..< end`: all of them data where `file` is nil.
    init(_ file: OpenFile?, from start: UInt64, to end: UInt64) {
        self.file = file
        self.end = end
        place = start
        dataEnd = file == nil ? end : start
    }

    /// The next piece of data, at most `limit` bytes and within what a multiple of `limit` bounds, so that pieces stay aligned; nil at
    /// the end.
    ///
    /// - Throws: `readFailed` where lseek(2) fails.
    mutating func next(atMost limit: UInt64) throws(CopyFailure) -> Range<UInt64>? {
        if place >= dataEnd, let file {
            guard place < end, let found = try Self.data(file, from: place, to: end) else { return nil }
            (place, dataEnd) = (found.lowerBound, found.upperBound)
        }
        guard place < dataEnd else { return nil }
        let wall = (place / limit + 1).multipliedReportingOverflow(by: limit)
        let stop = min(dataEnd, wall.overflow ? dataEnd : wall.partialValue)
        defer { place = stop }
        return place..<stop
    }

    /// The next range of data that starts at or after `start`, and before `end`.
    static func data(_ file: OpenFile, from start: UInt64, to end: UInt64) throws(CopyFailure) -> Range<UInt64>? {
        guard start < end, let place = Int64(exactly: start) else { return nil }
        let data = cdma_seek(file.descriptor, place, CDMA_SEEK_DATA)
        if data == -Int64(ENXIO) { return nil }
        if data == -Int64(EINVAL) || data == -Int64(EOPNOTSUPP) { return start..<end }
        guard data >= place else {
            throw .reading(file.path, at: start, errno: data < 0 ? Int32(-data) : EIO)
        }
        guard UInt64(data) < end else { return nil }
        let hole = cdma_seek(file.descriptor, data, CDMA_SEEK_HOLE)
        // The file has become shorter: the next read reports it.
        guard hole > data else { return UInt64(data)..<end }
        return UInt64(data)..<min(UInt64(hole), end)
    }
}
