// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMATestSupport
import Testing

/// Each kernel on each path that this processor and build support, against a byte-by-byte model.
@Suite("Kernels")
struct KernelTests {
    /// Kernels that take one path for one kind of work.
    static func kernels(_ work: KernelWork, _ path: KernelPath, threshold: Int = 1 << 40) -> Kernels {
        var kernels = Kernels.portable
        kernels.streamThreshold = threshold
        switch work {
        case .stream: kernels.stream = path
        case .fill: kernels.fill = path
        case .xor: kernels.xor = path
        case .pq: kernels.pq = path
        case .crc32c: kernels.crc32c = path
        }
        return kernels
    }

    static func length(_ random: inout Seeded) -> Int {
        switch Int.random(in: 0..<8, using: &random) {
        case 0: Int.random(in: 0..<16, using: &random)
        case 1...4: Int.random(in: 0..<700, using: &random)
        default: Int.random(in: 0..<20_000, using: &random)
        }
    }

    static func bytes(_ count: Int, _ random: inout Seeded) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    /// coefficient · byte, for all bytes.
    static func products(_ coefficient: UInt8) -> [UInt8] { (0...255).map { multiply(coefficient, $0) } }

    static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
        var product: UInt8 = 0
        var (a, b) = (a, b)
        while b != 0 {
            if b & 1 != 0 { product ^= a }
            a = a << 1 ^ (a & 0x80 != 0 ? 0x1d : 0)
            b >>= 1
        }
        return product
    }

    @Test("the paths of this machine are named, and the portable one is always there")
    func paths() {
        for work in KernelWork.allCases {
            #expect(work.paths.last == .portable)
            #expect(Set(work.paths).count == work.paths.count)
            print("\(work): " + work.paths.map(\.name).joined(separator: ", "))
        }
        print(Kernels.best)
        #expect(Kernels.best.streamThreshold >= 512 << 10)
        let absent = Kernels(stream: .isal, fill: .galois, xor: .folding, pq: .folding, crc32c: .avx2, streamThreshold: -1)
        var portable = Kernels.portable
        portable.streamThreshold = 0
        #expect(absent == portable)
    }

    @Test("copies, through the cache and with streaming stores", arguments: KernelWork.stream.paths)
    func copy(path: KernelPath) {
        var random = Seeded("copy")
        for round in 0..<120 {
            let kernels = Self.kernels(.stream, path, threshold: round % 2 == 0 ? 1 << 40 : 0)
            let count = Self.length(&random)
            let from = Self.bytes(count + 70, &random)
            var to = Self.bytes(count + 140, &random)
            var expected = to
            let (a, b) = (Int.random(in: 0..<70, using: &random), Int.random(in: 0..<70, using: &random))
            expected.replaceSubrange(b..<b + count, with: from[a..<a + count])
            unsafe from.withUnsafeBytes { source in
                unsafe to.withUnsafeMutableBytes { target in
                    unsafe kernels.copy(to: target.baseAddress! + b, from: source.baseAddress! + a, count: count)
                }
            }
            #expect(to == expected, "\(count) bytes from +\(a) to +\(b)")
        }
    }

    @Test("every length around the limits of the 512-bit copies, at every offset from a line")
    func cachedCopy() {
        var random = Seeded("cached copy")
        let from = Self.bytes(17 << 10, &random)
        let blank = [UInt8](repeating: 0xa5, count: 17 << 10)
        for count in Array(500..<800) + Array((16 << 10) - 70..<(16 << 10) + 3) {
            let (a, b) = (count * 7 % 67, count * 5 % 64)
            var to = blank
            unsafe from.withUnsafeBytes { source in
                unsafe to.withUnsafeMutableBytes { target in
                    unsafe Kernels.best.copy(to: target.baseAddress! + b, from: source.baseAddress! + a, count: count)
                }
            }
            #expect(to[b..<b + count] == from[a..<a + count] && to[..<b] == blank[..<b], "\(count) bytes")
            #expect(to[(b + count)...] == blank[(b + count)...], "beyond the end of \(count) bytes")
        }
    }

    @Test("rows with strides")
    func rows() {
        var random = Seeded("rows")
        for _ in 0..<100 {
            let (count, rows) = (Int.random(in: 0..<200, using: &random), Int.random(in: 0..<20, using: &random))
            let (i, j) = (Int.random(in: 0..<50, using: &random), Int.random(in: 0..<50, using: &random))
            let from = Self.bytes(20 * 250, &random)
            var to = Self.bytes(20 * 250, &random)
            var expected = to
            for row in 0..<rows {
                for k in 0..<count { expected[row * (count + i) + k] = from[row * (count + j) + k] }
            }
            unsafe from.withUnsafeBytes { source in
                unsafe to.withUnsafeMutableBytes { target in
                    unsafe Kernels.best.copyRows(
                        to: target.baseAddress!, toStride: count + i, from: source.baseAddress!, fromStride: count + j,
                        count: count, rows: rows)
                }
            }
            #expect(to == expected)
        }
    }

    @Test("fills with patterns of 1, 2, 4 and 8 bytes", arguments: KernelWork.fill.paths)
    func fill(path: KernelPath) {
        var random = Seeded("fill")
        for round in 0..<160 {
            let kernels = Self.kernels(.fill, path, threshold: round % 2 == 0 ? 1 << 40 : 0)
            let count = Self.length(&random)
            let offset = Int.random(in: 0..<70, using: &random)
            let word = random.next()
            let pattern =
                switch round / 2 % 4 {
                case 0: (word & 0xff) &* 0x0101_0101_0101_0101
                case 1: (word & 0xffff) &* 0x0001_0001_0001_0001
                case 2: (word & 0xffff_ffff) &* 0x0000_0001_0000_0001
                default: word
                }
            var to = Self.bytes(count + 140, &random)
            var expected = to
            unsafe withUnsafeBytes(of: pattern) { bytes in
                for k in 0..<count { expected[offset + k] = unsafe bytes[k % 8] }
            }
            unsafe to.withUnsafeMutableBytes { target in
                unsafe kernels.fill(target.baseAddress! + offset, pattern: pattern, count: count)
            }
            #expect(to == expected, "\(count) bytes at +\(offset) with \(String(pattern, radix: 16))")
        }
    }

    /// Calls with pointers to `sources`, each `shift` bytes in.
    static func withSources<R>(_ sources: [[UInt8]], shift: Int, _ body: (Kernels.Sources) -> R) -> R {
        let copies = unsafe sources.map { source in
            let copy = UnsafeMutableRawPointer.allocate(byteCount: source.count + shift + 64, alignment: 64)
            unsafe source.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                unsafe (copy + shift).copyMemory(from: start, byteCount: bytes.count)
            }
            return unsafe copy
        }
        defer { unsafe freeAll(copies) }
        let pointers = unsafe copies.map { unsafe UnsafeRawPointer?($0 + shift) }
        return unsafe pointers.withUnsafeBufferPointer { unsafe body($0) }
    }

    @Test("XOR of 1 to 32 sources, in place too, and its validation", arguments: KernelWork.xor.paths)
    func xor(path: KernelPath) {
        var random = Seeded("xor")
        for round in 0..<96 {
            let kernels = Self.kernels(.xor, path, threshold: round % 2 == 0 ? 1 << 40 : 0)
            let count = Self.length(&random) / 4
            let n = round < 40 ? round % 32 + 1 : Int.random(in: 1...32, using: &random)
            // Every fourth round is aligned, as ISA-L wants it.
            let shift = round % 4 == 0 ? 0 : Int.random(in: 0..<64, using: &random)
            var sources = (0..<n).map { _ in Self.bytes(count, &random) }
            var expected = [UInt8](repeating: 0, count: count)
            for source in sources { for k in 0..<count { expected[k] ^= source[k] } }
            let offset = round % 3 == 0 ? shift : Int.random(in: 0..<64, using: &random)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: count + 128, alignment: 64)
            defer { unsafe memory.deallocate() }
            unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xa5, count: count + 128)
            unsafe Self.withSources(sources, shift: shift) { list in
                unsafe kernels.xor(to: memory + offset, from: list, count: count)
            }
            let result = unsafe [UInt8](UnsafeRawBufferPointer(start: memory, count: count + 128))
            #expect(Array(result[offset..<offset + count]) == expected, "\(n) sources of \(count) bytes")
            #expect(result[..<offset].allSatisfy { $0 == 0xa5 } && result[(offset + count)...].allSatisfy { $0 == 0xa5 })

            let inPlace = unsafe Self.withSources(sources, shift: shift) { list in
                let target = unsafe UnsafeMutableRawPointer(mutating: list[n / 2]!)
                unsafe kernels.xor(to: target, from: list, count: count)
                return unsafe [UInt8](UnsafeRawBufferPointer(start: target, count: count))
            }
            #expect(inPlace == expected)

            sources.append(expected)
            #expect(unsafe Self.withSources(sources, shift: shift) { unsafe kernels.xorIsZero($0, count: count) })
            if count > 0 {
                sources[Int.random(in: 0...n, using: &random)][Int.random(in: 0..<count, using: &random)] ^= 0x10
                #expect(unsafe !Self.withSources(sources, shift: shift) { unsafe kernels.xorIsZero($0, count: count) })
            }
        }
    }

    @Test("PQ with any coefficients; continue; P or Q alone; each failure distinguished", arguments: KernelWork.pq.paths)
    func pq(path: KernelPath) {
        var random = Seeded("pq")
        var kernels = Self.kernels(.pq, path)
        let wanted: [ParityOptions] = [[.p, .q], .p, .q, [.p, .q, .continue], [.p, .continue], [.q, .continue]]
        for round in 0..<72 {
            let options = wanted[round % wanted.count]
            let count = Self.length(&random) / 4
            let n = Int.random(in: 1...32, using: &random)
            let coefficients = Self.bytes(n, &random)
            let sources = (0..<n).map { _ in Self.bytes(count, &random) }
            let before = (p: Self.bytes(count, &random), q: Self.bytes(count, &random))
            var (p, q) = before
            if !options.contains(.continue) {
                if options.contains(.p) { p = [UInt8](repeating: 0, count: count) }
                if options.contains(.q) { q = [UInt8](repeating: 0, count: count) }
            }
            for (source, coefficient) in zip(sources, coefficients) {
                let products = Self.products(coefficient)
                for k in 0..<count {
                    if options.contains(.p) { p[k] ^= source[k] }
                    if options.contains(.q) { q[k] ^= products[Int(source[k])] }
                }
            }
            // Every other round with streaming stores, which require P and Q on multiples of 64.
            kernels.streamThreshold = round % 2 == 0 ? 1 << 40 : 0
            let shift = Int.random(in: 0..<64, using: &random)
            unsafe Self.withSources(sources, shift: shift) { list in
                unsafe Self.withSources([before.p, before.q], shift: round % 4 == 1 ? 0 : (shift + 1) % 64) { parity in
                    let target = unsafe parity.map { unsafe UnsafeMutableRawPointer(mutating: $0!) }
                    let targets = unsafe (target[0], target[1])
                    unsafe kernels.pq(
                        p: options.contains(.p) ? targets.0 : nil, q: options.contains(.q) ? targets.1 : nil, from: list,
                        coefficients: coefficients, count: count, options: options)
                    #expect(unsafe [UInt8](UnsafeRawBufferPointer(start: targets.0, count: count)) == p)
                    #expect(unsafe [UInt8](UnsafeRawBufferPointer(start: targets.1, count: count)) == q)
                    guard options == [.p, .q], count > 0 else { return }
                    func check(_ options: ParityOptions) -> ParityFailure {
                        unsafe kernels.pqCheck(
                            p: targets.0, q: targets.1, from: list, coefficients: coefficients, count: count, options: options)
                    }
                    #expect(check([.p, .q]) == [])
                    let place = Int.random(in: 0..<count, using: &random)
                    unsafe targets.0.storeBytes(of: p[place] ^ 1, toByteOffset: place, as: UInt8.self)
                    #expect(check([.p, .q]) == .p)
                    #expect(check(.q) == [])
                    unsafe targets.1.storeBytes(of: q[count - 1] ^ 0x80, toByteOffset: count - 1, as: UInt8.self)
                    #expect(check([.p, .q]) == [.p, .q])
                    unsafe targets.0.storeBytes(of: p[place], toByteOffset: place, as: UInt8.self)
                    #expect(check([.p, .q]) == .q)
                    #expect(check(.p) == [])
                }
            }
        }
    }

    static let crcTable = (0...255).map { byte in
        (0..<8).reduce(UInt32(byte)) { register, _ in register >> 1 ^ (register & 1 != 0 ? 0x82f6_3b78 : 0) }
    }

    static func model(_ bytes: ArraySlice<UInt8>, continuing crc: UInt32 = 0) -> UInt32 {
        ~bytes.reduce(~crc) { register, byte in
            crcTable[Int((register ^ UInt32(byte)) & 0xff)] ^ register >> 8
        }
    }

    @Test("CRC32C: the check value, any length, in pieces, and while copying", arguments: KernelWork.crc32c.paths)
    func crc32c(path: KernelPath) {
        var random = Seeded("crc")
        let kernels = Self.kernels(.crc32c, path)
        let digits = Array("123456789".utf8)
        #expect(unsafe digits.withUnsafeBytes { unsafe kernels.crc32c($0.baseAddress!, count: 9) } == 0xe306_9283)
        // RFC 3720, B.4: 32 bytes of zero, of ones, and rising.
        let published: [([UInt8], UInt32)] = [
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa), ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            ([UInt8](0..<32), 0x46dd_794e),
        ]
        for (bytes, crc) in published {
            #expect(unsafe bytes.withUnsafeBytes { unsafe kernels.crc32c($0.baseAddress!, count: 32) } == crc)
        }
        for round in 0..<80 {
            let count = Self.length(&random)
            let offset = Int.random(in: 0..<64, using: &random)
            let bytes = Self.bytes(offset + count + 1, &random)
            let expected = Self.model(bytes[offset..<offset + count])
            var copying = kernels
            copying.streamThreshold = round % 2 == 0 ? 0 : 1 << 40
            var copy = [UInt8](repeating: 0, count: count + 1)
            unsafe bytes.withUnsafeBytes { raw in
                let start = unsafe raw.baseAddress! + offset
                #expect(unsafe kernels.crc32c(start, count: count) == expected, "\(count) bytes at +\(offset)")
                let cut = Int.random(in: 0...count, using: &random)
                let first = unsafe kernels.crc32c(start, count: cut)
                #expect(unsafe kernels.crc32c(start + cut, count: count - cut, continuing: first) == expected)
                unsafe copy.withUnsafeMutableBytes { target in
                    #expect(unsafe copying.copyCRC32C(to: target.baseAddress!, from: start, count: count) == expected)
                }
            }
            #expect(copy[..<count] == bytes[offset..<offset + count])
            #expect(copy[count] == 0)
        }
    }
}

@unsafe
private func freeAll(_ copies: [UnsafeMutableRawPointer]) {
    for index in unsafe copies.indices { unsafe copies[index].deallocate() }
}
