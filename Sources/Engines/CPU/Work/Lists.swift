// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

/// XOR, PQ and scatter-gather, directly on a descriptor's list of segments: nothing is allocated, and each segment is read
/// once.
enum Lists {
    /// Runs `count` bytes at `offset` of an operation. False for a list that no channel makes, or a null address.
    ///
    /// - Parameter descriptor: of kind `xor`, `pq` or `scatterGather`; only read.
    @unsafe @inline(__always)
    static func run(
        _ descriptor: UnsafePointer<Descriptor>, _ kernels: Kernels, at offset: Int, count: Int, whole: Int
    ) -> Bool {
        guard let list = unsafe descriptor.pointee.operands else { return false }
        let sources = unsafe UInt32(descriptor.pointee.sourceCount)
        let continues = unsafe descriptor.pointee.flags.contains(.continue)
        switch unsafe descriptor.pointee.kind {
        case .xor:
            // SAFETY: `operands` has as many segments as the counts say, all of at least `offset + count` bytes that the transaction owns.
            return unsafe descriptor.pointee.destinationCount == 1
                && kernels.xorList(list, sources: sources, continues: continues, at: offset, count: count, of: whole)
        case .pq:
            guard unsafe descriptor.pointee.destinationCount == 2 else { return false }
            let options = unsafe ParityOptions(descriptor.pointee.flags)
            return unsafe withUnsafePointer(to: descriptor.pointee.detail) { detail in
                // SAFETY: as above; the 32 coefficients lie in the four detail words.
                unsafe kernels.pqList(
                    list, sources: sources, coefficients: UnsafeRawPointer(detail).assumingMemoryBound(to: UInt8.self),
                    at: offset,
                    count: count, of: whole, options: options)
            }
        case .scatterGather:
            return unsafe ScatterWalk.copy(
                list, sources: Int(sources), destinations: Int(descriptor.pointee.destinationCount), kernels, at: offset,
                count: count, whole: whole)
        default:
            return false
        }
    }
}

extension ParityOptions {
    /// The P and Q options of a descriptor's flags.
    init(_ flags: DescriptorFlags) {
        // Each flag is a bit, so that no branch is needed: `disableP` is 16, `disableQ` 32, `continue` 8.
        self.init(rawValue: UInt32(~flags.rawValue >> 4 & 3) | UInt32(flags.rawValue >> 1 & 4))
    }
}

extension Kernels {
    /// `xorPart`, for a list of sources and the destination after them. False for a null address, or too many sources.
    @unsafe @inline(__always)
    func xorList(
        _ list: UnsafePointer<Segment>, sources: UInt32, continues: Bool, at offset: Int, count: Int,
        of whole: @autoclosure () -> Int
    ) -> Bool {
        // SAFETY: by the contract of this function the list holds the sources and the destination after them, each of which
        // reaches `count` bytes from the offset on.
        #if ISAL
            if xor == .isal, !continues, unsafe ISALKernels.xorList(list, sources: sources, at: offset, count: count) {
                return true
            }
        #endif
        let streaming = count >= 4096 && streams(whole(), operands: Int(sources) + 1)
        return unsafe cdma_xor_list(xor.width, streaming, list, sources, continues, offset, count)
    }

    /// `pqPart`, for a list of sources and P and Q after them. False for a null address, or too many sources.
    @unsafe @inline(__always)
    func pqList(
        _ list: UnsafePointer<Segment>, sources: UInt32, coefficients: UnsafePointer<UInt8>, at offset: Int, count: Int,
        of whole: @autoclosure () -> Int, options: ParityOptions
    ) -> Bool {
        // SAFETY: as above, with P and Q after the sources and a coefficient for each source.
        #if ISAL
            if pq == .isal {
                return unsafe ISALKernels.pqList(
                    list, sources: sources, coefficients: coefficients, at: offset, count: count, options: options)
            }
        #endif
        let streaming = count >= 4096 && streams(whole(), operands: Int(sources) + 2)
        return unsafe cdma_pq_list(
            pq.width, pq == .galois, list, sources, coefficients, offset, count,
            options.rawValue & 7 | (streaming ? UInt32(CDMA_PQ_STREAM) : 0))
    }
}
