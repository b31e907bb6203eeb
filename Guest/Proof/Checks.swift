// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDUSpecification
import DMARegisters
import DMAVFIOAccess

typealias EDUChannel = Channel<EDUEngine, Loan>

/// Opens the device and says what is behind it.
func facts(_ address: String, behindPort: Bool) throws -> String {
    let device = try VFIODevice(address)
    let quiet = try QuietDevice(opening: device, constraints: EDUConfiguration().constraints)
    let window = try quiet.window(EDU.registers, atLeast: EDU.command.offset + 8)
    guard window.isMapped else { throw Failure("its registers are not mapped") }
    guard window.read(EDU.identification).isEDU else { throw Failure("it is no EDU") }
    // QEMU's EDU has no reset of its own; on the root bus nothing else can reset it.
    guard quiet.resetMethod == (behindPort ? .transport : .none) else { throw Failure("reset by \(quiet.resetMethod)") }
    let ranges = device.busAddresses.map { range in
        "0x\(String(range.lowerBound, radix: 16))-0x\(String(range.upperBound, radix: 16))"
    }
    guard device.pageSizes.first == 4096, !ranges.isEmpty else { throw Failure("pages \(device.pageSizes), ranges \(ranges)") }
    let vectors = [InterruptKind.intx, .msi, .msix].map { "\($0) \(quiet.interruptCount($0))" }.joined(separator: ", ")
    return "\(device.interface), reset by \(quiet.resetMethod), \(vectors), addresses \(ranges.joined(separator: " ")), pages "
        + "\(device.pageSizes), at most \(device.mappingLimit.map(String.init) ?? "?") mappings"
}

/// Opening the device must fail with a code, and a word in the error's text.
func expect(_ code: String, _ address: String, _ part: String) throws -> String {
    do throws(AccessError) {
        _ = try QuietDevice(opening: try VFIODevice(address))
    } catch {
        guard error.code.rawValue == code, error.description.contains(part) else {
            throw Failure("\(code) with \(part) was expected: \(error)")
        }
        return "\(error)"
    }
    throw Failure("it opened; \(code) was expected")
}

/// A machine that does other things may stop the guest for a while.
func patient() -> EDUConfiguration {
    var configuration = EDUConfiguration()
    configuration.patience = .seconds(60)
    return configuration
}

/// Copies of several sizes, byte for byte.
func copies(
    _ address: String, _ kinds: [InterruptKind], sizes: [Int] = [1, 63, 4032, 4033, 10_000]
) async throws -> String {
    var configuration = patient()
    configuration.interrupts = kinds
    let engine = try EDUEngine(opening: VFIODevice(address), configuration)
    let domain = engine.domain
    var channel = try EDUChannel(engine, domain: domain)
    for (number, size) in sizes.enumerated() {
        try await copy(size, seed: UInt8(number), domain, &channel)
    }
    let figures = channel.withEngine { $0.figures }
    func figure(_ name: String) -> UInt64 { figures.first { $0.name == name }?.value ?? 0 }
    guard figure("failures") == 0, figure("restarts") == 0 else { throw Failure("\(figures)") }
    guard (figure("interrupts") > 0) == !kinds.isEmpty else { throw Failure("\(figure("interrupts")) interrupts: \(figures)") }
    let bytes = sizes.reduce(0, +)
    return "\(bytes) bytes in \(sizes.count) copies, \(figure("transfers")) transfers, \(figure("interrupts")) interrupts, "
        + "\(figure("lostInterrupts")) found without one"
}

/// One copy, compared.
func copy(_ count: Int, seed: UInt8, _ domain: Domain, _ channel: inout EDUChannel) async throws {
    let source = try Buffer(count: count, for: domain, seed: seed)
    let target = try Buffer(count: count, for: domain, seed: ~seed)
    let from = try source.mapped(for: domain, direction: .toDevice)
    var to = try target.mapped(for: domain, direction: .fromDevice)
    try await channel.copy(from, to: &to, by: .after(milliseconds: 300_000))
    let first = try from.unmap()
    let second = try to.unmap()
    guard first.has(seed), second.has(seed) else { throw Failure("\(count) bytes: the target has others than the source") }
}

/// Runs until it is killed.
func loop(_ address: String, ready: String) async {
    await check("loop") {
        let engine = try EDUEngine(opening: VFIODevice(address), patient())
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        try await copy(64, seed: 1, domain, &channel)
        touch(ready)
        while true { try await copy(16_384, seed: 3, domain, &channel) }
    }
}

/// Copies until another program asks for the device: the wait must end with `deviceGone`.
func askedBack(_ address: String, ready: String) async throws -> String {
    let device = try VFIODevice(address)
    let engine = try EDUEngine(opening: device, patient())
    let domain = engine.domain
    var channel = try EDUChannel(engine, domain: domain)
    try await copy(64, seed: 1, domain, &channel)
    touch(ready)
    let began = Deadline.now.nanoseconds
    do {
        while Deadline.now.nanoseconds - began < 60_000_000_000 { try await copy(65_536, seed: 5, domain, &channel) }
    } catch let error as DMAError {
        guard error.code == .deviceGone, let reason = device.goneReason else { throw error }
        return "the wait ended after \((Deadline.now.nanoseconds - began) / 1_000_000) ms: \(error.code); \(reason)"
    }
    throw Failure("copies went on for 60 s")
}

/// With RLIMIT_MEMLOCK at 64 KiB, 1 MiB cannot be mapped; the error has the figures.
func memoryLocked(_ address: String) throws -> String {
    let device = try VFIODevice(address)
    let quiet = try QuietDevice(opening: device)
    do throws(DMAError) {
        _ = try Buffer(count: 1 << 20).mapped(for: quiet.domain, direction: .toDevice)
    } catch {
        guard error.code == .memoryLocked, error.asked == 1 << 20, error.limit <= 65_536 else { throw error }
        let small = try Buffer(count: 8192).mapped(for: quiet.domain, direction: .toDevice).unmap()
        return "\(error.message); then \(small.count) bytes were mapped"
    }
    throw Failure("1 MiB was mapped with a limit of 64 KiB")
}

/// With the kernel's limit of entries at 16, the 17th mapping is refused, and the 16 others end.
func entryLimit(_ address: String) throws -> String {
    let device = try VFIODevice(address)
    let quiet = try QuietDevice(opening: device)
    let limit = try device.mappingLimit.map { $0 } ?? { throw Failure("the kernel names no limit") }()
    var held: [UnsafeHandle] = []
    var refused: DMAError?
    for _ in 0...limit {
        do throws(DMAError) {
            held.append(UnsafeHandle(try Buffer(count: 4096).mapped(for: quiet.domain, direction: .toDevice)))
        } catch {
            refused = error
            break
        }
    }
    guard let refused, held.count == 16, limit == 16 else { throw Failure("\(held.count) mappings, limit \(limit)") }
    guard device.mappings == 16, let text = device.mappingRefusal, text.contains("16") else {
        throw Failure("\(device.mappings) mappings: \(device.mappingRefusal ?? "no reason")")
    }
    held = []
    guard device.mappings == 0 else { throw Failure("\(device.mappings) mappings are left") }
    return "\(refused.message); \(text)"
}

/// A mapping in an array.
final class UnsafeHandle {
    private let mapping: MappedBuffer
    init(_ mapping: consuming MappedBuffer) { self.mapping = mapping }
}

extension Buffer {
    /// A buffer whose bytes follow from a seed, and their place.
    init(count: Int, for domain: Domain, seed: UInt8) throws(DMAError) {
        try self.init(count: count, for: domain)
        fill(seed)
    }

    mutating func fill(_ seed: UInt8) {
        let count = count
        var span = mutableBytes
        for place in 0..<count { try? span.store(Self.byte(place, seed), at: place) }
    }

    /// Whether all bytes are those of a seed.
    func has(_ seed: UInt8) -> Bool {
        (0..<count).allSatisfy { (try? load(at: $0, as: UInt8.self)) == Self.byte($0, seed) }
    }

    private static func byte(_ place: Int, _ seed: UInt8) -> UInt8 {
        UInt8(truncatingIfNeeded: place &* 7 &+ place >> 8) ^ seed &* 37
    }
}
