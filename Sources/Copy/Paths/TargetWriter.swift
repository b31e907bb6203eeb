// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Writes data of the source to the target: at its position, or in order to a stream or a file that is appended to.
struct TargetWriter {
    let job: CopyJob
    let file: OpenFile

    /// Writes all of them.
    ///
    /// - Parameter position: offset of the bytes in the source.
    /// - Throws: `writeFailed` and its kinds.
    func write(_ bytes: RawSpan, at position: UInt64) throws(CopyFailure) {
        // SAFETY: the calls read as many bytes as the span has, which outlives them.
        let isStream = job.plan.target == .stream
        let place = isStream ? -1 : job.target.place(of: position)
        let result: Int32 = unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            guard job.target.isAppended else {
                return Int32(clamping: min(0, unsafe cdma_write_all(file.descriptor, base, buffer.count, place)))
            }
            var moved: UInt64 = 0
            let result = unsafe cdma_append(file.descriptor, base, buffer.count, &moved)
            job.target.hasAppended(position + moved)
            return result
        }
        guard result == 0 else { throw .writing(job.target.name, at: position, errno: -result) }
    }
}
