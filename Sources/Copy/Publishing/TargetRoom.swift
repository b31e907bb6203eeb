// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAUnits

/// The length of the new file, and room for its bytes, before these come: a full disk, or a limit, is noticed at once.
///
/// Both can be done without.
struct TargetRoom {
    let job: CopyJob

    func take() throws(CopyFailure) {
        guard let file = job.target.file, let size = job.source.size, job.plan.path != .reflink else { return }
        let (end, overflow) = job.target.base.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(Int64.max) else { throw .writing(job.target.name, at: size, errno: EFBIG) }
        let isInPlace = job.plan.publishing == .inPlace
        // What is written at once, or nearly, gains nothing by it.
        if !job.target.isAppended, !isInPlace, size >= CopyPlanner.worthDirect || size > cdma_largest_file() {
            let result = cdma_truncate(file.descriptor, end)
            guard result == 0 || OptionalStep.isRefusal(-result) else {
                throw .writing(job.target.name, errno: -result, when: "when its length was set")
            }
        }
        if job.plan.preallocates || isInPlace { try allocate(file, size, keepsLength: isInPlace) }
    }

    private func allocate(_ file: OpenFile, _ size: UInt64, keepsLength: Bool) throws(CopyFailure) {
        var place = job.start
        // A file in more pieces than that takes its room as it is written.
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
            if OptionalStep.isRefusal(-result) {
                // Only what the plan says was asked for.
                if job.plan.preallocates { job.note("no room taken before: \(DMAError.sentence(-result))") }
                return
            }
            guard result == 0 else {
                if keepsLength, let facts = job.target.facts { _ = cdma_truncate(file.descriptor, facts.size) }
                throw .writing(job.target.name, at: range.lowerBound, errno: -result)
            }
            place = range.upperBound
        }
    }
}

/// How much room there is, and how much was needed: for the message of a full disk.
struct RoomText {
    private let job: CopyJob

    init(_ job: CopyJob) { self.job = job }

    /// Called when what was begun has been put away, so that its room counts as free.
    func explain(_ failure: CopyFailure) -> CopyFailure {
        guard let file = job.target.file, let kind = job.target.facts?.kind else { return failure }
        guard kind == .regular else {
            return failure.with(possible: "the device is full: its end is reached", cure: "a larger device")
        }
        guard let room = Room(job.target.directory ?? file) else { return failure }
        let free = "\(ByteSize.text(room.available)) free"
        let needs = job.source.size.map { "needs \(ByteSize.text($0)), " } ?? ""
        let explained = failure.with(possible: "\(failure.possible) (\(needs)\(free))")
        let isBeside = job.plan.publishing == .rename || job.plan.publishing == .resume
        // What takes its place could have its room.
        guard isBeside, let old = job.target.site?.existing, old.allocated > 0 else { return explained }
        return explained.with(
            cure: "make room (df), choose another target, or overwrite the old file itself", remedy: .overwriteInPlace)
    }
}
