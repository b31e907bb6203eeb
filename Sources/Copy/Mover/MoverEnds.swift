// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Where a mover takes bytes from.
enum MoverSource {
    /// A file of the engine's, by place, from `base` on.
    case file(number: UInt32, base: UInt64)
    /// A file of the engine's that is read in order.
    case stream(number: UInt32)
    case pattern(PatternStream)
    case zero
    case memory(MemoryEnd)

    /// Whether the bytes are made here, at once.
    var isLocal: Bool {
        switch self {
        case .file, .stream: false
        case .pattern, .zero, .memory: true
        }
    }

    var isStream: Bool { if case .stream = self { true } else { false } }

    /// Makes the bytes of a local source.
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

/// Where a mover brings bytes to.
enum MoverTarget {
    /// A file of the engine's, by place, from `base` on; in order, where the kernel writes each at the end.
    case file(number: UInt32, base: UInt64, inOrder: Bool)
    /// A file of the engine's that is written in order.
    case stream(number: UInt32)
    case null
    /// Compared, not kept.
    case pattern(PatternStream)
    case memory(MemoryEnd)

    var isLocal: Bool {
        switch self {
        case .file, .stream: false
        case .null, .pattern, .memory: true
        }
    }

    /// Whether one write follows the other.
    var isInOrder: Bool {
        switch self {
        case .stream: true
        case .file(_, _, let inOrder): inOrder
        case .null, .pattern, .memory: false
        }
    }

    /// Takes bytes into a local target.
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
                possible: "the source has \(found) at offset \(offset), and not \(stream.byte(at: offset))",
                cure: "see whether the seed is right; else the bytes are damaged")
        case .memory(let memory): try memory.write(bytes, at: position)
        }
    }
}
