// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Where a mover reads.
enum MoverSource {
    /// A file that is attached to the engine, read at positions from `base` on.
    case file(number: UInt32, base: UInt64)
    /// A file that is attached to the engine, read in order.
    case stream(number: UInt32)
    case pattern(PatternStream)
    case zero
    case memory(MemoryEnd)

    /// Whether the data is generated or held in this process.
    var isLocal: Bool {
        switch self {
        case .file, .stream: false
        case .pattern, .zero, .memory: true
        }
    }

    var isStream: Bool { if case .stream = self { true } else { false } }

    /// Writes the data of a local source into `bytes`.
    func make(_ bytes: inout MutableRawSpan, at position: UInt64) {
        // SAFETY: the function writes exactly the span, which is accessed exclusively.
        switch self {
        case .file, .stream: break
        case .pattern(let stream): stream.fill(&bytes, at: position)
        case .zero:
            unsafe bytes.withUnsafeMutableBytes { buffer in
                // Writes exactly the span.
                if let base = buffer.baseAddress { unsafe cdma_set(base, 0, buffer.count) }
            }
        case .memory(let memory): memory.read(into: &bytes, at: position)
        }
    }
}

/// Where a mover writes.
enum MoverTarget {
    /// A file that is attached to the engine, written at positions from `base` on; in order where the kernel appends each write.
    case file(number: UInt32, base: UInt64, inOrder: Bool)
    /// A file that is attached to the engine, written in order.
    case stream(number: UInt32)
    case null
    /// Compared with the pattern, not kept.
    case pattern(PatternStream)
    case memory(MemoryEnd)

    var isLocal: Bool {
        switch self {
        case .file, .stream: false
        case .null, .pattern, .memory: true
        }
    }

    /// Whether writes must follow each other in order.
    var isInOrder: Bool {
        switch self {
        case .stream: true
        case .file(_, _, let inOrder): inOrder
        case .null, .pattern, .memory: false
        }
    }

    /// Passes data to a local target.
    ///
    /// - Throws: `patternMismatch`, `targetTooSmall`.
    func take(_ bytes: RawSpan, at position: UInt64) throws(CopyFailure) {
        // SAFETY: the index is that of a byte of the span.
        switch self {
        case .file, .stream, .null: break
        case .pattern(let stream):
            guard let index = stream.firstMismatch(in: bytes, at: position) else { return }
            let offset = position + UInt64(index)
            let found = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            throw CopyFailure(
                .patternMismatch, "pattern:\(stream.seed)", asked: "find",
                possible: "at offset \(offset) the source has \(found) instead of \(stream.byte(at: offset))",
                cure: "Check the seed. If it is right, the data is damaged.")
        case .memory(let memory): try memory.write(bytes, at: position)
        }
    }
}
