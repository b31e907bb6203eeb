// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// One descriptor that a scripted device executes, some bytes at a time. Addresses are the CPU's: identity domains only.
///
/// Plain loops, so that these engines are obviously correct; they share no code with the suite that checks them.
@safe
struct Job: Sendable {
    let descriptor: Descriptor
    let tag: UInt32
    /// Bytes done; XOR and PQ count the bytes of one source.
    private(set) var done: UInt64 = 0
    private var crc: UInt32
    private var validation: UInt64 = 0

    init(_ descriptor: Descriptor, tag: UInt32) {
        self.descriptor = descriptor
        self.tag = tag
        crc = ~UInt32(truncatingIfNeeded: descriptor.value)
    }

    var residue: UInt64 { descriptor.count - done }
    var isOver: Bool { done >= descriptor.count }

    /// The parts of a completion beside status and residue.
    var value: UInt64 {
        switch descriptor.kind {
        case .crc32c, .copyCRC32C: UInt64(~crc)
        case .xorValidate, .pqValidate: validation
        default: 0
        }
    }

    /// Executes up to `quantum` more bytes.
    mutating func step(_ quantum: UInt64) {
        let end = done + min(residue, max(quantum, 1))
        while done < end {
            switch descriptor.kind {
            case .copy, .copyCRC32C, .scatterGather, .interleaved: moveRun(end)
            case .fill, .crc32c: touchRun(end)
            default: combineRun(end)
            }
        }
    }

    // MARK: Moves

    /// From here to the end of the shorter of both sides' pieces.
    private mutating func moveRun(_ end: UInt64) {
        let (source, sourceLeft) = place(isSource: true)
        let (target, targetLeft) = place(isSource: false)
        let count = min(end - done, sourceLeft, targetLeft)
        // The channel has checked both ranges against mapped memory that the transaction owns.
        guard count > 0, let from = unsafe pointer(source), let to = unsafe pointer(target) else {
            done = end
            return
        }
        for index in 0..<Int(count) { unsafe to[index] = from[index] }
        if descriptor.kind == .copyCRC32C { unsafe digest(from, count) }
        done += count
    }

    /// Address of the byte at `done`, and the number of contiguous bytes from there.
    private func place(isSource: Bool) -> (UInt64, UInt64) {
        switch descriptor.kind {
        case .interleaved:
            let template = descriptor.template
            let chunk = UInt64(template.chunk)
            let stride = isSource ? template.sourceStride : template.destinationStride
            let base = isSource ? descriptor.source : descriptor.destination
            return (base + done / chunk * stride + done % chunk, chunk - done % chunk)
        case .scatterGather, .peripheral:
            var left = done
            for index in 0..<Int(isSource ? descriptor.sourceCount : descriptor.destinationCount) {
                let segment = isSource ? descriptor.sourceSegment(index) : descriptor.destinationSegment(index)
                if left < segment.count { return (segment.address + left, segment.count - left) }
                left -= segment.count
            }
            return (0, 0)
        default:
            return ((isSource ? descriptor.source : descriptor.destination) + done, descriptor.count - done)
        }
    }

    private mutating func touchRun(_ end: UInt64) {
        let count = end - done
        if descriptor.kind == .crc32c {
            if let from = unsafe pointer(descriptor.source + done) { unsafe digest(from, count) }
        } else if let to = unsafe pointer(descriptor.destination + done) {
            for index in 0..<count {
                unsafe to[Int(index)] = UInt8(truncatingIfNeeded: descriptor.value >> (8 * ((done + index) % 8)))
            }
        }
        done = end
    }

    private mutating func digest(_ bytes: UnsafeMutablePointer<UInt8>, _ count: UInt64) {
        for index in 0..<Int(count) {
            crc = unsafe Job.crcTable[Int((crc ^ UInt32(bytes[index])) & 0xff)] ^ crc >> 8
        }
    }

    // MARK: Parity

    private mutating func combineRun(_ end: UInt64) {
        for offset in done..<end {
            var p: UInt8 = 0
            var q: UInt8 = 0
            for index in 0..<Int(descriptor.sourceCount) {
                guard let from = unsafe pointer(descriptor.sourceSegment(index).address + offset) else { continue }
                let byte = unsafe from.pointee
                p ^= byte
                if descriptor.destinationCount == 2 { q ^= Job.product(byte, descriptor.coefficients.values[index]) }
            }
            settle(p, q, at: offset)
        }
        done = end
    }

    private mutating func settle(_ p: UInt8, _ q: UInt8, at offset: UInt64) {
        let continues = descriptor.flags.contains(.continue)
        if descriptor.kind == .xorValidate {
            if p != 0 { validation |= 1 }
            return
        }
        for (index, value) in [p, q].enumerated() where index < Int(descriptor.destinationCount) {
            let segment = descriptor.destinationSegment(index)
            guard segment.count > 0, let to = unsafe pointer(segment.address + offset) else { continue }
            if descriptor.kind == .pqValidate {
                if unsafe to.pointee != value { validation |= 1 << UInt64(index) }
            } else {
                unsafe to.pointee = continues ? to.pointee ^ value : value
            }
        }
    }

    @unsafe
    private func pointer(_ address: UInt64) -> UnsafeMutablePointer<UInt8>? {
        unsafe UnsafeMutablePointer(bitPattern: UInt(address))
    }

    // MARK: Tables

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }

    /// Powers of the generator 2, twice over, and their logarithms.
    private static let powers: [UInt8] = {
        var powers: [UInt8] = []
        var power = 1
        for _ in 0..<510 {
            powers.append(UInt8(power))
            power = power << 1
            if power > 255 { power ^= 0x11d }
        }
        return powers
    }()
    private static let logarithms: [Int] = {
        var logarithms = [Int](repeating: 0, count: 256)
        for index in 0..<255 { logarithms[Int(powers[index])] = index }
        return logarithms
    }()

    private static func product(_ left: UInt8, _ right: UInt8) -> UInt8 {
        left == 0 || right == 0 ? 0 : powers[logarithms[Int(left)] + logarithms[Int(right)]]
    }

    // MARK: Peripherals

    /// Moves up to `quantum` bytes from the list to a FIFO.
    mutating func send(_ quantum: UInt64, to fifo: inout [UInt8]) {
        let end = min(descriptor.count, done + quantum)
        while done < end {
            let (source, left) = place(isSource: true)
            guard left > 0, let from = unsafe pointer(source) else { return }
            let count = min(end - done, left)
            for index in 0..<Int(count) { unsafe fifo.append(from[index]) }
            done += count
        }
    }

    /// Moves up to `quantum` bytes from a FIFO to the list; as many as the FIFO has.
    mutating func receive(_ quantum: UInt64, from fifo: inout [UInt8]) {
        let end = min(descriptor.count, done + min(quantum, UInt64(fifo.count)))
        var used = 0
        while done < end {
            let (target, left) = place(isSource: false)
            guard left > 0, let to = unsafe pointer(target) else { break }
            let count = Int(min(end - done, left))
            for index in 0..<count { unsafe to[index] = fifo[used + index] }
            used += count
            done += UInt64(count)
        }
        fifo.removeFirst(used)
    }
}

/// A small random generator for these engines: xorshift64*.
struct DeviceRandom: Sendable {
    private var state: UInt64
    init(seed: UInt64) { state = seed == 0 ? 0x2545_f491_4f6c_dd1d : seed }
    mutating func below(_ bound: Int) -> Int {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % max(bound, 1)
    }
}
