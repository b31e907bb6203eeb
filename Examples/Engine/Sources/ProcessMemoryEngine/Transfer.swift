// SPDX-License-Identifier: Apache-2.0

import DMADriverKit

/// One transaction in the engine's queue, and its progress.
struct Transfer: Sendable {
    let descriptor: Descriptor
    let tag: UInt32
    private(set) var done: UInt64 = 0

    init(_ descriptor: Descriptor, tag: UInt32) {
        self.descriptor = descriptor
        self.tag = tag
    }

    var residue: UInt64 { descriptor.count - done }
    var isOver: Bool { residue == 0 }

    /// How one step of a transfer ended.
    enum Step {
        /// Bytes were moved; some may be left.
        case moved
        /// Nothing was moved: the side that failed, and the kernel's error number.
        case failed(TransactionStatus, Int32)
    }

    /// Moves up to `quantum` bytes with one system call, continuing where the last one ended. The kernel may move fewer: the
    /// next step then continues, and gets the error itself if there is one.
    ///
    /// Unsafe: the descriptor's addresses are accessed.
    @unsafe
    mutating func step(_ call: ProcessMemorySettings.Call, quantum: UInt64) -> Step {
        let limit = min(residue, quantum)
        // SAFETY: the ranges are parts of those that the channel checked against the cargo that it owns until this transaction ends.
        let result = unsafe Kernel.move(call, from: ranges(isSource: true, limit), to: ranges(isSource: false, limit))
        guard result >= 0 else { return failure(Int32(truncatingIfNeeded: 0 - result)) }
        // Moving more than requested is as impossible as moving nothing.
        guard result > 0, UInt64(result) <= limit else { return .failed(.failed, Kernel.noProgress) }
        done += UInt64(result)
        return .moved
    }

    /// EFAULT means that one of the two sides is not accessible, without saying which. The next byte is the one that failed,
    /// since a call that moves anything before it succeeds; whether that byte can be read determines the side.
    private func failure(_ errno: Int32) -> Step {
        guard errno == Kernel.badAddress, let next = ranges(isSource: true, 1).first else { return .failed(.failed, errno) }
        return .failed(Kernel.canRead(next.address) ? .writeFailed : .readFailed, errno)
    }

    /// The next `limit` bytes of a side, as the kernel's list. At most the remaining bytes.
    private func ranges(isSource: Bool, _ limit: UInt64) -> [Segment] {
        guard descriptor.kind == .scatterGather else {
            return [Segment(address: (isSource ? descriptor.source : descriptor.destination) &+ done, count: limit)]
        }
        var ranges: [Segment] = []
        var skipped = done
        var left = limit
        for index in 0..<Int(isSource ? descriptor.sourceCount : descriptor.destinationCount) where left > 0 {
            let segment = isSource ? descriptor.sourceSegment(index) : descriptor.destinationSegment(index)
            guard skipped < segment.count else {
                skipped -= segment.count
                continue
            }
            let count = min(segment.count - skipped, left)
            ranges.append(Segment(address: segment.address &+ skipped, count: count))
            skipped = 0
            left -= count
        }
        return ranges
    }
}
