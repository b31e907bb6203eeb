// SPDX-License-Identifier: Apache-2.0

import DMACore

/// The model of a mapped buffer: its address, and every known byte.
struct BufferModel {
    let space: Int
    let direction: Direction
    let count: Int
    /// Bus address.
    let start: UInt64
    /// Nil where an engine may have written an unknown part of it.
    var bytes: [UInt8?]

    /// Whether the contract permits an engine to access the range.
    func permits(_ access: DeviceAccess, _ offset: UInt64, _ count: UInt64) -> Bool {
        direction.access.isSuperset(of: access) && offset <= UInt64(self.count) && count <= UInt64(self.count) - offset
            && count > 0
    }

    /// The first wrong byte.
    func mismatch(_ span: RawSpan) -> Int? {
        (0..<min(span.byteCount, bytes.count)).first { offset in
            guard let known = bytes[offset] else { return false }
            // SAFETY: every bit pattern of a byte is valid, and `offset` is below the span's length.
            return unsafe span.unsafeLoad(fromByteOffset: offset, as: UInt8.self) != known
        }
    }
}

extension MappedBuffer {
    /// Bus address.
    var firstAddress: UInt64 { region(at: 0).start.rawValue }
}

/// A transaction that a channel has accepted.
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

    /// The addresses that the engine reads, and those that it writes.
    var readRange: Range<UInt64>? {
        guard case .copy = work else { return nil }
        return (source.start + offsets.source)..<(source.start + offsets.source + count)
    }
    var writtenRange: Range<UInt64>? {
        if case .nothing = work { return nil }
        return (target.start + offsets.target)..<(target.start + offsets.target + count)
    }

    /// The contents of the buffers afterwards: the expected result, where it is certain; otherwise unknown, in the range that
    /// the engine was given.
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
