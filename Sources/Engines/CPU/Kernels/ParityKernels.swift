// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The options of a parity operation: the kernel's DMA_PREP_PQ_DISABLE_P and DMA_PREP_PQ_DISABLE_Q, inverted, and
/// DMA_PREP_CONTINUE.
public struct ParityOptions: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Compute or check P, the XOR of the sources.
    public static let p = ParityOptions(rawValue: 1)
    /// Compute or check Q, the sum of the sources times their coefficients.
    public static let q = ParityOptions(rawValue: 2)
    /// The present contents of P and Q are part of the sum.
    public static let `continue` = ParityOptions(rawValue: 4)
}

/// The result of a check of P and Q: the kernel's SUM_CHECK_P_RESULT and SUM_CHECK_Q_RESULT (rule 27).
public struct ParityFailure: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// P is wrong, or the XOR is not zero.
    public static let p = ParityFailure(rawValue: 1)
    /// Q is wrong.
    public static let q = ParityFailure(rawValue: 2)
}

extension Kernels {
    /// The maximum number of sources of an XOR or PQ.
    public static var maximumSources: Int { Int(CDMA_PQ_SOURCES) }

    /// A list of sources: 1 to ``maximumSources`` pointers, none of them nil.
    public typealias Sources = UnsafeBufferPointer<UnsafeRawPointer?>

    /// Sets each of `count` bytes at `to` to the XOR of the sources' bytes. `to` may be exactly one of the sources.
    @unsafe
    public func xor(to: UnsafeMutableRawPointer, from sources: Sources, count: Int) {
        // SAFETY: this type's contract: each pointer reaches `count` bytes. The same holds for all functions below.
        unsafe xorPart(to: to, from: sources, count: count, of: count)
    }

    /// Whether that many operands of `whole` bytes use more memory than a copy that bypasses the cache: it has two.
    func streams(_ whole: Int, operands: Int) -> Bool {
        let (touched, overflow) = whole.multipliedReportingOverflow(by: operands)
        return overflow || touched / 2 >= streamThreshold
    }

    @unsafe
    func xorPart(to: UnsafeMutableRawPointer, from sources: Sources, count: Int, of whole: Int) {
        // SAFETY: as above; the list has as many pointers as its count, 1 or more.
        guard let list = sources.baseAddress, sources.count > 0 else { return }
        #if ISAL
            if xor == .isal, unsafe ISALKernels.xor(to: to, from: sources, count: count, fallback: self) { return }
        #endif
        let streaming = streams(whole, operands: sources.count + 1) && count >= 4096
        unsafe cdma_xor(xor.width, streaming, to, list, UInt32(sources.count), count)
    }

    /// Whether the sources XOR to zero: `dma_prep_dma_xor_val`, whose sources include the parity.
    @unsafe
    public func xorIsZero(_ sources: Sources, count: Int) -> Bool {
        // SAFETY: as above; the function only reads.
        guard let list = sources.baseAddress, sources.count > 0 else { return true }
        // ISA-L's xor_check requires alignment and gains nothing: this only reads.
        let path = xor == .isal ? KernelPath.portable : xor
        return unsafe cdma_xor_is_zero(path.width, list, UInt32(sources.count), count)
    }

    /// Computes P and Q with `options` (`dma_prep_dma_pq`). A pointer may be nil where its option is absent. P and Q overlap
    /// neither each other nor a source; `coefficients` has one byte for each source.
    @unsafe
    public func pq(
        p: UnsafeMutableRawPointer?, q: UnsafeMutableRawPointer?, from sources: Sources,
        coefficients: UnsafePointer<UInt8>, count: Int, options: ParityOptions
    ) {
        // SAFETY: as above; there is a coefficient for each source.
        unsafe pqPart(
            p: p, q: q, from: sources, coefficients: coefficients, count: count, of: count, options: options)
    }

    @unsafe
    func pqPart(
        p: UnsafeMutableRawPointer?, q: UnsafeMutableRawPointer?, from sources: Sources,
        coefficients: UnsafePointer<UInt8>, count: Int, of whole: Int, options: ParityOptions
    ) {
        // SAFETY: as above; a nil pointer goes with an option that is absent.
        guard let list = sources.baseAddress, sources.count > 0 else { return }
        #if ISAL
            if pq == .isal {
                return unsafe ISALKernels.pq(
                    p: p, q: q, from: sources, coefficients: coefficients, count: count, options: options)
            }
        #endif
        let streaming = streams(whole, operands: sources.count + 2) && count >= 4096
        _ = unsafe cdma_pq(
            pq.width, pq == .galois, p, q, list, coefficients, UInt32(sources.count), count,
            options.rawValue & 7 | (streaming ? UInt32(CDMA_PQ_STREAM) : 0))
    }

    /// Compares P and Q with those of the sources (`dma_prep_dma_pq_val`); `.continue` has no meaning here.
    @unsafe
    public func pqCheck(
        p: UnsafeRawPointer?, q: UnsafeRawPointer?, from sources: Sources, coefficients: UnsafePointer<UInt8>, count: Int,
        options: ParityOptions
    ) -> ParityFailure {
        // SAFETY: as above; with CDMA_PQ_CHECK the kernel only reads through the two pointers.
        guard let list = sources.baseAddress, sources.count > 0 else { return [] }
        #if ISAL
            if pq == .isal {
                return unsafe ISALKernels.pqCheck(
                    p: p, q: q, from: sources, coefficients: coefficients, count: count, options: options)
            }
        #endif
        // With CDMA_PQ_CHECK the kernel only reads through the two pointers.
        let wrong = unsafe cdma_pq(
            pq.width, pq == .galois, UnsafeMutableRawPointer(mutating: p), UnsafeMutableRawPointer(mutating: q), list,
            coefficients, UInt32(sources.count), count, options.rawValue & 3 | UInt32(CDMA_PQ_CHECK))
        return ParityFailure(rawValue: wrong)
    }
}
