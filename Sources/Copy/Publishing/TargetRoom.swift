// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

/// Sets the length of the new file and allocates space for its data before the copy, so that a full disk or a limit is noticed at once.
///
/// Both are optional, and left out where the size of the source is not certain: only what is read shows how long such a file is.
struct TargetRoom {
    let job: CopyJob

    func take() throws(CopyFailure) {
        guard let file = job.target.file, let size = job.source.size, job.plan.path != .reflink else { return }
        let (end, overflow) = job.target.base.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(Int64.max) else { throw .writing(job.target.name, at: size, errno: EFBIG) }
        let isInPlace = job.plan.publishing == .inPlace
        // A small file gains nothing by it.
        let setsLength =
            !job.target.isAppended && !isInPlace && (size >= CopyPlanner.worthDirect || size > cdma_largest_file())
        guard setsLength || job.plan.preallocates || isInPlace else { return }
        guard try isReadable(to: size) else { return noteUncertain() }
        if setsLength {
            let result = cdma_truncate(file.descriptor, end)
            guard result == 0 || OptionalStep.isRefusal(-result) else {
                throw .writing(job.target.name, errno: -result, when: "when its length was set")
            }
        }
        guard job.plan.preallocates || isInPlace else { return }
        guard try isAllocated(size) else { return noteUncertain() }
        try allocate(file, size, keepsLength: isInPlace)
    }

    /// Whether the source is as large as it reported: its last byte can be read, and its blocks cover its data.
    func isCertain(_ size: UInt64) throws(CopyFailure) -> Bool {
        guard try isReadable(to: size) else { return false }
        return try isAllocated(size)
    }

    /// Only what the plan announces is missed.
    private func noteUncertain() {
        guard job.plan.preallocates else { return }
        job.note("space was not allocated in advance: the source may be smaller than the size that it reports")
    }

    /// Whether the last byte of the reported size can be read: a generated file may report any size, and end earlier.
    private func isReadable(to size: UInt64) throws(CopyFailure) -> Bool {
        // SAFETY: the call writes at most the one byte of a local variable.
        guard size > 0, let from = job.source.file, job.source.facts?.kind == .regular, job.source.hasPlaces else {
            return true
        }
        var byte: UInt8 = 0
        // A byte that cannot be read is there, and fails the copy where that comes to it.
        return unsafe cdma_read_all(from.descriptor, &byte, 1, Int64(clamping: size - 1)) != 0
    }

    /// Whether the blocks that are allocated for the source cover its data: fewer are those of a compressed file, which may take as few in the
    /// target, or of a sparse one whose file system does not report holes.
    private func isAllocated(_ size: UInt64) throws(CopyFailure) -> Bool {
        guard let from = job.source.file, let facts = job.source.facts, facts.kind == .regular else { return true }
        if facts.allocated >= size { return true }
        var (data, place) = (0 as UInt64, 0 as UInt64)
        // In more pieces than that it is not looked at to its end.
        for _ in 0..<4096 {
            guard let range = try ExtentWalk.data(from, from: place, to: size) else { return true }
            data += UInt64(range.count)
            guard data <= facts.allocated else { return false }
            place = range.upperBound
        }
        return true
    }

    private func allocate(_ file: OpenFile, _ size: UInt64, keepsLength: Bool) throws(CopyFailure) {
        var place = job.start
        // A file in more pieces than that gets its space as it is written.
        for _ in 0..<4096 {
            try job.checkCancelled(0)
            var range = place..<size
            if let holes = job.holesOf {
                guard let data = try ExtentWalk.data(holes, from: place, to: size) else { return }
                range = data
            }
            guard !range.isEmpty else { return }
            let result = cdma_fallocate(
                file.descriptor, keepsLength ? CDMA_FALLOC_KEEP_SIZE : 0, job.target.base + range.lowerBound,
                UInt64(range.count))
            if result == -EINTR { continue }
            if OptionalStep.isRefusal(-result) || result == -ENOSPC && !keepsLength && hasRoom(file, range) {
                // Only what the plan announces is missed.
                if job.plan.preallocates { job.note("space was not allocated in advance: \(DMAError.sentence(-result))") }
                return
            }
            guard result == 0 else {
                if keepsLength, let facts = job.target.facts { _ = cdma_truncate(file.descriptor, facts.size) }
                throw .writing(job.target.name, at: range.lowerBound, errno: -result)
            }
            place = range.upperBound
        }
    }

    /// Whether the file system reports enough space although it allocates none in advance: a compressing one may need less than it allocates.
    private func hasRoom(_ file: OpenFile, _ range: Range<UInt64>) -> Bool {
        guard let room = Room(file) else { return false }
        return room.available >= UInt64(range.count)
    }
}

/// The space that is free and that was needed, for the message of a full disk.
struct RoomText {
    private let job: CopyJob

    init(_ job: CopyJob) { self.job = job }

    /// Called when what was begun has been removed, so that its space counts as free.
    func explain(_ failure: CopyFailure) -> CopyFailure {
        guard let file = job.target.file, let kind = job.target.facts?.kind else { return failure }
        guard kind == .regular else {
            return failure.with(possible: "the end of the device is reached", cure: "Use a larger device.")
        }
        // A size that is not certain is not what was needed.
        let needs = job.source.size.flatMap { (try? TargetRoom(job: job).isCertain($0)) == true ? $0 : nil }
        let explained = Self.explain(failure, job.target.directory ?? file, needs: needs)
        let isBeside = job.plan.publishing == .rename || job.plan.publishing == .resume
        // Overwriting the old file would reuse its space.
        guard isBeside, let old = job.target.site?.existing, old.allocated > 0 else { return explained }
        return explained.with(
            cure: "Delete files (see df), choose another target, or overwrite the old file itself.", remedy: .overwriteInPlace)
    }

    /// Adds to a failure how much space was needed, and how much there is where `file` is.
    static func explain(_ failure: CopyFailure, _ file: OpenFile, needs: UInt64?) -> CopyFailure {
        guard let room = Room(file) else { return failure }
        let needed = needs.map { "needs \(ByteSize.text($0)), " } ?? ""
        return failure.with(possible: "\(failure.possible) (\(needed)\(ByteSize.text(room.available)) free)")
    }
}
