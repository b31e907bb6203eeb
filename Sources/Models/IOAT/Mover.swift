// SPDX-License-Identifier: Apache-2.0

internal import DMACPUEngine
internal import DMADeviceSide
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// Moves and computes the bytes of one descriptor.
struct Mover {
    let function: DeviceFunction
    let descriptor: IOATDescriptor
    /// The extension, where there is one.
    let second: IOATDescriptor
    // Faults.
    var wildSource = false
    var wildDestination = false
    var short = false

    /// Bytes at once.
    private static var piece: UInt64 { 65_536 }
    /// A bit that no address has: addresses of processes have 47 or 56 bits, and those of the ways to a device fewer.
    private static var wild: UInt64 { 1 << 60 }

    /// - Returns: what a validation has found.
    func run() throws(Worker.Halt) -> IOATErrors {
        var found = IOATErrors(word: 0)
        let end = UInt64(descriptor.size) - (short ? 1 : 0)
        var done: UInt64 = 0
        // Ends: each turn moves a byte at least.
        while done < end {
            let count = min(end - done, Self.piece)
            found.word |= try move(done, Int(count)).word
            done += count
        }
        return found
    }

    private func read(_ address: UInt64, _ offset: UInt64, _ count: Int) throws(Worker.Halt) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        do throws(DMAError) {
            var span = bytes.mutableSpan
            // SAFETY: every pattern of bits is a byte.
            var raw = unsafe span.mutableBytes
            try function.read(IOVA((wildSource ? address ^ Self.wild : address) &+ offset), into: &raw)
        } catch { throw Worker.Halt(.readData) }
        return bytes
    }

    private func write(_ bytes: [UInt8], _ address: UInt64, _ offset: UInt64) throws(Worker.Halt) {
        do throws(DMAError) {
            // SAFETY: every byte of an array of bytes is initialized; the span ends with the call.
            try unsafe function.write(
                bytes.span.bytes, at: IOVA((wildDestination ? address ^ Self.wild : address) &+ offset))
        } catch { throw Worker.Halt(.writeData) }
    }

    private func move(_ offset: UInt64, _ count: Int) throws(Worker.Halt) -> IOATErrors {
        switch descriptor.control[.operation] as IOATOperation? {
        case .copy: try write(read(descriptor.source, offset, count), descriptor.destination, offset)
        case .fill:
            let pattern = descriptor.source
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: pattern >> (8 * ((offset + UInt64($0)) % 8))) }
            try write(bytes, descriptor.destination, offset)
        case .xor: try write(sum(sources(offset, count), count), descriptor.destination, offset)
        case .xorValidate:
            let expected = try read(descriptor.destination, offset, count)
            var found = IOATErrors(word: 0)
            found[.p] = sum(try sources(offset, count), count) != expected
            return found
        case .pq, .pqValidate: return try parity(offset, count)
        default: throw Worker.Halt(.descriptorControl)
        }
        return IOATErrors(word: 0)
    }

    /// The sources' bytes, one after the other.
    private func sources(_ offset: UInt64, _ count: Int) throws(Worker.Halt) -> [UInt8] {
        guard let operation = descriptor.control[.operation] as IOATOperation? else { throw Worker.Halt(.descriptorControl) }
        var all: [UInt8] = []
        for index in 0..<min(descriptor.control.sources, IOAT.mostSources) {
            let place = IOATDescriptor.place(of: index, operation)
            all += try read(place.isExtension ? second[place.word] : descriptor[place.word], offset, count)
        }
        return all
    }

    private func sum(_ sources: [UInt8], _ count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        for start in stride(from: 0, to: sources.count, by: max(count, 1)) {
            for place in 0..<count { result[place] ^= sources[start + place] }
        }
        return result
    }

    private func parity(_ offset: UInt64, _ count: Int) throws(Worker.Halt) -> IOATErrors {
        let control = descriptor.control
        let sources = try sources(offset, count)
        let (p, q) = Self.parity(sources, count, coefficients: descriptor.coefficients)
        var found = IOATErrors(word: 0)
        let validates = control[.operation] == IOATOperation.pqValidate
        if !control[.disablesP] {
            if validates {
                found[.p] = try read(descriptor.destination, offset, count) != p
            } else {
                try write(p, descriptor.destination, offset)
            }
        }
        if !control[.disablesQ] {
            if validates { found[.q] = try read(descriptor.q, offset, count) != q } else { try write(q, descriptor.q, offset) }
        }
        return found
    }

    /// P and Q of sources that lie one behind the other, by the CPU engine's portable kernel.
    static func parity(_ sources: [UInt8], _ count: Int, coefficients: UInt64) -> (p: [UInt8], q: [UInt8]) {
        var p = [UInt8](repeating: 0, count: count)
        var q = p
        let number = count > 0 ? sources.count / count : 0
        let weights = (0..<8).map { UInt8(truncatingIfNeeded: coefficients >> UInt64(8 * $0)) }
        guard number > 0, number <= weights.count else { return (p, q) }
        // SAFETY: each of the pointers reaches `count` bytes: the sources are `number` times as long. None outlives the call.
        unsafe sources.withUnsafeBytes { all in
            guard let base = all.baseAddress else { return }
            let list = unsafe (0..<number).map { unsafe UnsafeRawPointer?(base + $0 * count) }
            unsafe list.withUnsafeBufferPointer { list in
                unsafe p.withUnsafeMutableBytes { p in
                    unsafe q.withUnsafeMutableBytes { q in
                        unsafe weights.withUnsafeBufferPointer { weights in
                            guard let first = weights.baseAddress else { return }
                            unsafe Kernels.portable.pq(
                                p: p.baseAddress, q: q.baseAddress, from: list, coefficients: first, count: count,
                                options: [.p, .q])
                        }
                    }
                }
            }
        }
        return (p, q)
    }
}
