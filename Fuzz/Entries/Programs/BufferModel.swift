// SPDX-License-Identifier: Apache-2.0

import DMACore

/// What a mapped buffer must be, kept beside it: where it is mapped, and every byte that is known.
struct BufferModel {
    let space: Int
    let direction: Direction
    let count: Int
    /// As the device sees it.
    let start: UInt64
    /// Nil where an engine may have written, and nobody knows how much of it.
    var bytes: [UInt8?]

    /// Whether an engine may be given the range, as the contract has it.
    func permits(_ access: DeviceAccess, _ offset: UInt64, _ count: UInt64) -> Bool {
        direction.access.isSuperset(of: access) && offset <= UInt64(self.count) && count <= UInt64(self.count) - offset
            && count > 0
    }

    /// The first byte that is not as it must be.
    func mismatch(_ span: RawSpan) -> Int? {
        (0..<min(span.byteCount, bytes.count)).first { offset in
            guard let known = bytes[offset] else { return false }
            // SAFETY: a byte has no pattern that is none, and `offset` is below the span's length.
            return unsafe span.unsafeLoad(fromByteOffset: offset, as: UInt8.self) != known
        }
    }
}

extension MappedBuffer {
    /// As the device sees it.
    var firstAddress: UInt64 { region(at: 0).start.rawValue }
}

/// A transaction that a channel has taken.
struct TransactionModel {
    enum Work {
        case copy
        case fill(UInt64)
        case nothing
    }
    /// The first region's buffer and the second's.
    var source: BufferModel
    var target: BufferModel
    let work: Work
    let offsets: (source: UInt64, target: UInt64)
    let count: UInt64
    let name: UInt64
    var isIssued = false

    /// What the engine is to read, and to write: addresses.
    var readRange: Range<UInt64>? {
        guard case .copy = work else { return nil }
        return (source.start + offsets.source)..<(source.start + offsets.source + count)
    }
    var writtenRange: Range<UInt64>? {
        if case .nothing = work { return nil }
        return (target.start + offsets.target)..<(target.start + offsets.target + count)
    }

    /// What the buffers hold afterwards: what was asked for, where it is certain that it was done; else nobody knows what, in the range
    /// that the engine was given.
    mutating func finish(isDone: Bool) {
        if case .nothing = work { return }
        for step in 0..<Int(count) {
            let place = Int(offsets.target) + step
            switch work {
            case .copy: target.bytes[place] = isDone ? source.bytes[Int(offsets.source) + step] : nil
            case .fill(let pattern):
                target.bytes[place] = isDone ? UInt8(truncatingIfNeeded: pattern >> (8 * UInt64(step % 8))) : nil
            case .nothing: break
            }
        }
    }
}
