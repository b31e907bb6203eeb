// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// Runs a descriptor piece by piece: any piece of most operations can run on any thread at any time.
///
/// The addresses of a descriptor are virtual addresses of this process: for a CPU, a bus address is a pointer. The channel has
/// checked them against mapped memory that the transaction owns until the engine reports its completion, so that dereferencing
/// them is sound.
enum Piecework {
    /// Whether pieces may run in any order, on several threads.
    static func isDivisible(_ descriptor: Descriptor) -> Bool {
        switch descriptor.kind {
        case .copy, .fill, .xor, .xorValidate, .pq, .pqValidate, .scatterGather: true
        case .interleaved: descriptor.template.destinationIncrements
        case .crc32c, .copyCRC32C, .peripheral, .cyclic, .null, .command: false
        }
    }

    /// Runs `count` bytes at `offset`, both within the descriptor's count; offsets are multiples of 64.
    ///
    /// `whole` is the number of bytes in progress together: where they exceed the cache, copies bypass it. `carry` is the CRC
    /// so far or the accumulated validation bits, and is returned updated. Nil for a null address.
    static func run(
        _ descriptor: Descriptor, _ kernels: Kernels, at offset: Int, count: Int, whole: Int, carry: UInt64
    ) -> UInt64? {
        // SAFETY: the descriptor is one that was enqueued: by the contract of `Engine.enqueue` its addresses are valid until the
        // transaction is reported, which this work comes before. The channel has checked the ranges, and the piece lies inside.
        switch descriptor.kind {
        case .copy:
            guard let to = unsafe destination(descriptor), let from = unsafe source(descriptor) else { return nil }
            unsafe kernels.copyPart(to: to + offset, from: from + offset, count: count, of: whole)
            return 0
        case .fill:
            guard let to = unsafe destination(descriptor) else { return nil }
            unsafe kernels.fillPart(to + offset, pattern: UInt64(littleEndian: descriptor.value), count: count, of: whole)
            return 0
        case .crc32c:
            guard let from = unsafe source(descriptor) else { return nil }
            return UInt64(
                unsafe kernels.crc32c(from + offset, count: count, continuing: UInt32(truncatingIfNeeded: carry)))
        case .copyCRC32C:
            guard let to = unsafe destination(descriptor), let from = unsafe source(descriptor) else { return nil }
            return UInt64(
                unsafe kernels.copyCRC32CPart(
                    to: to + offset, from: from + offset, count: count, of: whole,
                    continuing: UInt32(truncatingIfNeeded: carry)))
        case .xorValidate, .pqValidate:
            return validate(descriptor, kernels, at: offset, count: count).map { $0 | carry }
        case .xor, .pq, .scatterGather:
            return unsafe withUnsafePointer(to: descriptor) {
                unsafe Lists.run($0, kernels, at: offset, count: count, whole: whole)
            } ? 0 : nil
        case .interleaved:
            return rows(descriptor, kernels, at: offset, count: count, whole: whole) ? 0 : nil
        case .null:
            return 0
        case .peripheral, .cyclic, .command:
            return nil
        }
    }

    /// The total of `number` transactions of `count` bytes, saturating.
    static func sum(_ count: UInt64, _ number: Int) -> Int {
        let (sum, overflow) = Int(clamping: count).multipliedReportingOverflow(by: number)
        return overflow ? .max : sum
    }

    // SAFETY: the pointer is made from a word and not dereferenced here.
    private static func source(_ descriptor: Descriptor) -> UnsafeRawPointer? {
        unsafe UnsafeRawPointer(bitPattern: UInt(descriptor.source))
    }

    // SAFETY: as for the source.
    private static func destination(_ descriptor: Descriptor) -> UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: UInt(descriptor.destination))
    }

    /// Validates XOR and PQ. The result has the bits of `ValidationResult`.
    private static func validate(_ descriptor: Descriptor, _ kernels: Kernels, at offset: Int, count: Int) -> UInt64? {
        // SAFETY: as for `run`; the list has a place for each source. The four detail words are 32 bytes, one coefficient for
        // each source that PQ can have.
        let number = Int(descriptor.sourceCount)
        guard number >= 1, number <= Kernels.maximumSources else { return nil }
        return unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: number) { list -> UInt64? in
            for index in 0..<number {
                guard let start = unsafe UnsafeRawPointer(bitPattern: UInt(descriptor.sourceSegment(index).address))
                else { return nil }
                unsafe list.initializeElement(at: index, to: start + offset)
            }
            func target(_ index: Int) -> UnsafeRawPointer? {
                unsafe UnsafeRawPointer(bitPattern: UInt(descriptor.destinationSegment(index).address))
                    .map { unsafe $0 + offset }
            }
            let sources = Kernels.Sources(list)
            if descriptor.kind == .xorValidate {
                return unsafe kernels.xorIsZero(sources, count: count) ? 0 : ValidationResult.pFailed.rawValue
            }
            let options = ParityOptions(descriptor.flags.subtracting(.continue))
            let p = unsafe options.contains(.p) ? target(0) : nil
            let q = unsafe options.contains(.q) ? target(1) : nil
            guard unsafe (p != nil) == options.contains(.p), unsafe (q != nil) == options.contains(.q) else { return nil }
            return unsafe withUnsafeBytes(of: descriptor.detail) { bytes -> UInt64? in
                // The 32 coefficients lie in the descriptor's four detail words.
                guard let weights = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
                return UInt64(
                    unsafe kernels.pqCheck(
                        p: p, q: q, from: sources, coefficients: weights, count: count, options: options
                    ).rawValue)
            }
        }
    }

    /// Frames with gaps (rule 23). A piece may begin and end inside a frame.
    private static func rows(
        _ descriptor: Descriptor, _ kernels: Kernels, at offset: Int, count: Int, whole: Int
    ) -> Bool {
        // SAFETY: as for `run`: each row lies in the region that the channel has checked with the same template, so that the
        // products do not overflow.
        let template = descriptor.template
        let chunk = Int(template.chunk)
        guard let to = unsafe destination(descriptor), let from = unsafe source(descriptor), chunk > 0 else { return false }
        // Within the regions that the channel has checked with the same template, so the products do not overflow.
        let (toStride, fromStride) = (Int(template.destinationStride), Int(template.sourceStride))
        var (row, column) = (offset / chunk, offset % chunk)
        var left = count
        while left > 0 {
            let length = min(chunk - column, left)
            unsafe kernels.copyPart(
                to: to + row &* toStride + column, from: from + row &* fromStride + column, count: length, of: whole)
            left -= length
            row += 1
            column = 0
        }
        return true
    }
}
