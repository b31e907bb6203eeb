// SPDX-License-Identifier: Apache-2.0

#if ISAL
    internal import CDMA
    internal import CISAL
    internal import DMAEngineKit

    /// XOR, PQ and CRC32C by ISA-L. Its lengths are `int`, its XOR requires 32-byte alignment (raid.h), its erasure code takes
    /// any address but writes the last vector twice (so that it cannot be used in place).
    enum ISALKernels {
        /// The maximum length of a single call. Bytes, a multiple of 64.
        private static let longest = 1 << 30
        /// The maximum number of sources, plus one place for the destination.
        private static let places = Int(CDMA_PQ_SOURCES) + 1

        static func crc32c(_ from: UnsafeRawPointer, count: Int, register: UInt32) -> UInt32 {
            // SAFETY: the caller vouches for `count` bytes; each piece lies inside, and is short enough for an `int`. crc32_iscsi
            // takes a pointer to mutable bytes, and only reads.
            var register = register
            var at = 0
            while at < count {
                let length = min(longest, count - at)
                // crc32_iscsi takes a pointer to mutable bytes, and only reads.
                let bytes = unsafe UnsafeMutablePointer(mutating: (from + at).assumingMemoryBound(to: UInt8.self))
                register = unsafe crc32_iscsi(bytes, Int32(length), register)
                at += length
            }
            return register
        }

        /// XOR of a list of sources into the destination after them. False where ISA-L cannot do it.
        static func xorList(_ list: UnsafePointer<Segment>, sources: UInt32, at offset: Int, count: Int) -> Bool {
            // SAFETY: the caller vouches for the list's segments from the offset on; the function returns false for a null
            // address.
            guard sources > 1, count <= longest, count & 31 == 0 else { return false }
            return unsafe cdma_raid_list(xor_gen, list, sources + 1, offset, count)
        }

        /// P and Q of a list of sources. False for a null address.
        static func pqList(
            _ list: UnsafePointer<Segment>, sources: UInt32, coefficients: UnsafePointer<UInt8>, at offset: Int, count: Int,
            options: ParityOptions
        ) -> Bool {
            // SAFETY: the caller vouches for the list's segments, for `count` bytes from the offset on, and for one coefficient
            // for each source. The temporary list has a place for each of the sources, fewer than `places`, and does not leave
            // the closure. With the powers of two in order ISA-L's P+Q applies, which needs no tables.
            if options == [.p, .q], count <= longest, count & 31 == 0, unsafe cdma_pq_is_standard(coefficients, sources),
                unsafe cdma_raid_list(pq_gen, list, sources + 2, offset, count)
            {
                return true
            }
            return unsafe pqListByTables(
                list, sources: sources, coefficients: coefficients, at: offset, count: count, options: options)
        }

        /// `pqList` with the erasure code, for weights, lengths and options that `pq_gen` does not support.
        @inline(never)
        private static func pqListByTables(
            _ list: UnsafePointer<Segment>, sources: UInt32, coefficients: UnsafePointer<UInt8>, at offset: Int, count: Int,
            options: ParityOptions
        ) -> Bool {
            // SAFETY: as for `pqList`.
            guard sources >= 1, sources < places else { return false }
            return unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: places) { pointers -> Bool in
                for index in 0..<Int(sources) {
                    guard let start = unsafe UnsafeRawPointer(bitPattern: UInt(list[index].address)) else { return false }
                    unsafe pointers.initializeElement(at: index, to: start + offset)
                }
                func target(_ option: ParityOptions, _ index: Int) -> UnsafeMutableRawPointer? {
                    guard options.contains(option) else { return nil }
                    return unsafe UnsafeMutableRawPointer(bitPattern: UInt(list[Int(sources) + index].address))
                        .map { unsafe $0 + offset }
                }
                let (p, q) = unsafe (target(.p, 0), target(.q, 1))
                guard unsafe (p != nil) == options.contains(.p), unsafe (q != nil) == options.contains(.q) else { return false }
                unsafe pq(
                    p: p, q: q, from: Kernels.Sources(rebasing: UnsafeBufferPointer(pointers)[..<Int(sources)]),
                    coefficients: coefficients, count: count, options: options)
                return true
            }
        }

        /// False where ISA-L cannot do it: one source, more than the list holds, or addresses that differ modulo 32.
        static func xor(
            to: UnsafeMutableRawPointer, from sources: Kernels.Sources, count: Int, fallback: Kernels
        ) -> Bool {
            // SAFETY: the caller vouches for the sources and the destination. Both temporary lists have a place for each source,
            // fewer than `places`, and one for the destination; all that is written to them before they are read is pointers. Each
            // piece lies in `count`.
            let phase = Int(bitPattern: to) & 31
            guard sources.count > 1, sources.count < places, count >= 64 else { return false }
            for index in sources.indices where unsafe Int(bitPattern: sources[index]) & 31 != phase { return false }
            let head = (32 - phase) & 31
            let middle = (count - head) & ~31
            var portable = fallback
            portable.xor = .portable
            return unsafe withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: places) { list in
                unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: places) { moved in
                    // Bytes before the first and after the last multiple of 32.
                    func rest(at: Int, count: Int) {
                        guard count > 0 else { return }
                        for k in sources.indices { unsafe moved[k] = sources[k].map { unsafe $0 + at } }
                        let part = unsafe Kernels.Sources(rebasing: UnsafeBufferPointer(moved)[..<sources.count])
                        unsafe portable.xor(to: to + at, from: part, count: count)
                    }
                    rest(at: 0, count: head)
                    var at = head
                    while at < head + middle {
                        let length = min(longest, head + middle - at)
                        for k in sources.indices {
                            unsafe list[k] = UnsafeMutableRawPointer(mutating: sources[k]).map { unsafe $0 + at }
                        }
                        unsafe list[sources.count] = to + at
                        let failed = unsafe xor_gen(Int32(sources.count + 1), Int32(length), list.baseAddress)
                        if failed != 0 { rest(at: at, count: length) }
                        at += length
                    }
                    rest(at: at, count: count - at)
                    return true
                }
            }
        }

        static func pq(
            p: UnsafeMutableRawPointer?, q: UnsafeMutableRawPointer?, from sources: Kernels.Sources,
            coefficients: UnsafePointer<UInt8>, count: Int, options: ParityOptions
        ) {
            // SAFETY: the caller vouches for the pointers. Each piece, and the rest after the last of them, lies in `count`;
            // the encoder does not leave the closure.
            let whole = count & ~63
            unsafe withEncoder(sources, coefficients, options) { encoder in
                var at = 0
                while at < whole {
                    // The continue flag adds one source after the other, so that pieces stay in the first-level cache.
                    let length = min(options.contains(.continue) ? 8 << 10 : longest, whole - at)
                    unsafe encoder.run(at: at, count: length, p: p, q: q, update: options.contains(.continue))
                    at += length
                }
                guard whole < count else { return }
                var rest = Kernels.portable
                rest.pq = .portable
                unsafe encoder.move(to: whole)
                unsafe rest.pq(
                    p: p.map { unsafe $0 + whole }, q: q.map { unsafe $0 + whole }, from: encoder.sources,
                    coefficients: coefficients, count: count - whole, options: options)
            }
        }

        static func pqCheck(
            p: UnsafeRawPointer?, q: UnsafeRawPointer?, from sources: Kernels.Sources, coefficients: UnsafePointer<UInt8>,
            count: Int, options: ParityOptions
        ) -> ParityFailure {
            // SAFETY: as for `pq`; the scratch has room for a piece of P and one of Q. `run` adds `at` to what was subtracted here,
            // so that it writes from the scratch's start on.
            let piece = 4 << 10
            let whole = count & ~63
            var failure: ParityFailure = []
            unsafe withEncoder(sources, coefficients, options.subtracting(.continue)) { encoder in
                unsafe withUnsafeTemporaryAllocation(byteCount: 2 * piece, alignment: 64) { scratch in
                    guard let scratchP = scratch.baseAddress else { return }
                    let scratchQ = unsafe scratchP + piece
                    var at = 0
                    while at < whole {
                        let length = min(piece, whole - at)
                        unsafe encoder.run(at: at, count: length, p: scratchP - at, q: scratchQ - at, update: false)
                        if options.contains(.p), let p = unsafe p, unsafe memcmp(scratchP, p + at, length) != 0 {
                            failure.insert(.p)
                        }
                        if options.contains(.q), let q = unsafe q, unsafe memcmp(scratchQ, q + at, length) != 0 {
                            failure.insert(.q)
                        }
                        at += length
                    }
                }
                guard whole < count else { return }
                var rest = Kernels.portable
                rest.pq = .portable
                unsafe encoder.move(to: whole)
                failure.formUnion(
                    unsafe rest.pqCheck(
                        p: p.map { unsafe $0 + whole }, q: q.map { unsafe $0 + whole }, from: encoder.sources,
                        coefficients: coefficients, count: count - whole, options: options))
            }
            return failure
        }

        /// The erasure code with one row for each of P and Q that is computed.
        @unsafe private struct Encoder {
            let tables: UnsafeMutablePointer<UInt8>
            let original: Kernels.Sources
            let moved: UnsafeMutableBufferPointer<UnsafeRawPointer?>
            let options: ParityOptions

            // SAFETY: for each of these: an encoder lives inside `withEncoder`, whose temporary memory it names: `moved` has a
            // place for each source, and the pointers moved by `at` stay in the bytes that the caller vouches for.
            var sources: Kernels.Sources { unsafe Kernels.Sources(rebasing: moved[..<original.count]) }

            func move(to at: Int) {
                // SAFETY: as for `sources`.
                for k in unsafe original.indices { unsafe moved[k] = original[k].map { unsafe $0 + at } }
            }

            func run(at: Int, count: Int, p: UnsafeMutableRawPointer?, q: UnsafeMutableRawPointer?, update: Bool) {
                unsafe withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<UInt8>?.self, capacity: 2) { rows in
                    var row: Int32 = 0
                    if unsafe options.contains(.p), let p = unsafe p {
                        unsafe rows[Int(row)] = (p + at).assumingMemoryBound(to: UInt8.self)
                        row += 1
                    }
                    if unsafe options.contains(.q), let q = unsafe q {
                        unsafe rows[Int(row)] = (q + at).assumingMemoryBound(to: UInt8.self)
                        row += 1
                    }
                    guard row > 0 else { return }
                    unsafe move(to: at)
                    // ISA-L's lists contain mutable pointers; it only reads the sources. SAFETY: as for `sources`; the rows are
                    // P and Q where they are computed, and reach `count` bytes from `at` on.
                    unsafe moved.withMemoryRebound(to: UnsafeMutablePointer<UInt8>?.self) { data in
                        if update {
                            for k in unsafe original.indices {
                                unsafe ec_encode_data_update(
                                    Int32(count), Int32(original.count), row, Int32(k), tables, data[k], rows.baseAddress)
                            }
                        } else {
                            unsafe ec_encode_data(
                                Int32(count), Int32(original.count), row, tables, data.baseAddress, rows.baseAddress)
                        }
                    }
                }
            }
        }

        private static func withEncoder(
            _ sources: Kernels.Sources, _ coefficients: UnsafePointer<UInt8>, _ options: ParityOptions,
            _ body: (Encoder) -> Void
        ) {
            // SAFETY: the memory is 64 bytes of tables for each source, 32 a row, and 2 bytes of the matrix; with at most two rows
            // all of that suffices. There is a coefficient for each source. Nothing of it leaves the closures.
            let count = sources.count
            unsafe withUnsafeTemporaryAllocation(byteCount: 2 * 33 * count, alignment: 64) { bytes in
                unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: count) { moved in
                    guard let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
                    let matrix = unsafe base + 64 * count
                    var row = 0
                    if options.contains(.p) {
                        for k in 0..<count { unsafe matrix[k] = 1 }
                        row += 1
                    }
                    if options.contains(.q) {
                        for k in 0..<count { unsafe matrix[row * count + k] = coefficients[k] }
                        row += 1
                    }
                    guard row > 0 else { return }
                    unsafe ec_init_tables(Int32(count), Int32(row), matrix, base)
                    unsafe moved.initialize(repeating: nil)
                    unsafe body(Encoder(tables: base, original: sources, moved: moved, options: options))
                }
            }
        }
    }
#endif
