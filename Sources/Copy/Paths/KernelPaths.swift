// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// copy_file_range(2): the kernel copies between the files, and the data does not pass through this process.
struct InKernelPath {
    let job: CopyJob

    /// False where the kernel does not support these files, and nothing has been written.
    func run() throws(CopyFailure) -> Bool {
        // The call needs a position in the target: it refuses files that are open with O_APPEND.
        guard let from = job.source.file, let to = job.target.file, let size = job.source.size, !job.target.isAppended else {
            return false
        }
        var limit = RateLimit(job.options.rate)
        var extents = ExtentWalk(job.holesOf, from: job.start, to: size)
        var moved: UInt64 = 0
        while let range = try extents.next(atMost: job.plan.chunk) {
            var place = range.lowerBound
            while place < range.upperBound {
                try job.checkCancelled(place)
                let wanted = range.upperBound - place
                try limit?.waitAndCharge(wanted, job.target.name, job.control)
                let count = cdma_copy_range(
                    from.descriptor, place, to.descriptor, job.target.base + place, Int(clamping: wanted))
                if count == -Int64(EINTR) { continue }
                if count < 0, moved == 0, Self.isRefusal(Int32(-count)) { return false }
                guard count >= 0 else { throw try Self.failure(job, place, Int32(-count)) }
                if count == 0 {
                    job.done(end: place, moved: moved, crc: nil)
                    return true
                }
                place += UInt64(count)
                moved += UInt64(count)
                job.control.update { $0.bytes = place }
            }
        }
        job.control.update { $0.bytes = size }
        job.done(end: size, moved: moved, crc: nil)
        return true
    }

    /// Errors of files that the call does not support. Source: copy_file_range(2), ERRORS.
    private static func isRefusal(_ errno: Int32) -> Bool {
        [EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, ETXTBSY, EPERM].contains(errno)
    }

    /// The call does not tell which of the two files failed: reading the place again does.
    private static func failure(_ job: CopyJob, _ place: UInt64, _ errno: Int32) throws(CopyFailure) -> CopyFailure {
        // SAFETY: the function writes at most the one byte of a local variable.
        guard errno == EIO, let file = job.source.file else { return .writing(job.target.name, at: place, errno: errno) }
        var byte: UInt8 = 0
        let read = unsafe cdma_read_all(file.descriptor, &byte, 1, Int64(clamping: place))
        return read < 0
            ? .reading(job.source.name, at: place, errno: Int32(-read)) : .writing(job.target.name, at: place, errno: errno)
    }
}

/// FICLONE: the files share their blocks, and no data is transferred.
struct ReflinkPath {
    let job: CopyJob

    /// False where the file system does not share blocks between these files.
    ///
    /// - Throws: `noReflink` where shared blocks were required.
    func run() throws(CopyFailure) -> Bool {
        guard let from = job.source.file, let to = job.target.file, let size = job.source.size else { return false }
        let result = cdma_clone(to.descriptor, from.descriptor)
        if result == 0 {
            job.control.update { $0.bytes = size }
            job.done(end: size, moved: 0, crc: nil)
            job.report.holes = 0
            return true
        }
        if result == -ENOSPC || result == -EDQUOT { throw .writing(job.target.name, at: 0, errno: -result) }
        guard job.plan.reflink == .always else { return false }
        throw CopyFailure(
            .noReflink, job.target.name, asked: "share the blocks of \(CopyFailure.quoted(job.source.name)) with",
            possible: "their file system does not support it, or they are on different ones",
            cure: "Copy within one btrfs or xfs file system, or do not require shared blocks.", errno: -result)
    }
}

/// splice(2): pages move into and out of a pipe.
struct SplicePath {
    let job: CopyJob

    /// False where the kernel does not splice these files, and nothing has been transferred.
    func run() throws(CopyFailure) -> Bool {
        guard let from = job.source.file, let to = job.target.file else { return false }
        var limit = RateLimit(job.options.rate)
        let total = job.source.size ?? .max
        var place = job.start
        while place < total {
            try job.checkCancelled(place)
            let wanted = min(job.plan.chunk, total - place)
            if let allowed = limit?.allows(), !allowed { try limit?.waitAndCharge(0, job.target.name, job.control) }
            if job.plan.source == .stream { try from.waitUntilReady(toWrite: false, job.control) }
            if job.plan.target == .stream { try to.waitUntilReady(toWrite: true, job.control) }
            let source = job.source.hasPlaces ? Int64(clamping: place) : -1
            let target = job.plan.target == .stream ? -1 : job.target.place(of: place)
            let count = cdma_splice(
                from.descriptor, source, to.descriptor, target, Int(clamping: wanted), UInt32(CDMA_SPLICE_NONBLOCK))
            if count == -Int64(EAGAIN) || count == -Int64(EINTR) { continue }
            if count < 0, place == job.start, [EINVAL, EOPNOTSUPP, EBADF].contains(Int32(-count)) { return false }
            if count < 0 { throw .writing(job.target.name, at: place, errno: Int32(-count)) }
            if count == 0 { break }
            limit?.charge(UInt64(count))
            place += UInt64(count)
            job.control.update { $0.bytes = place }
        }
        job.done(end: place, moved: place - job.start, crc: nil)
        return true
    }
}
