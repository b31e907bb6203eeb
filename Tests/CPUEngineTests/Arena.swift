// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMATestSupport
import Testing

/// Memory with regions in it, and a model of its expected contents.
///
/// A test changes the model byte by byte according to the operation's documentation; comparing all of it afterwards detects
/// missing writes, writes outside, and changed sources.
@safe
struct Arena: ~Copyable, Cargo, @unchecked Sendable {
    private static let home = Domain(name: "arena")
    static var domain: Domain { home }

    /// The memory, and its CPU address: the domain does not translate, and the mapping lives as long as the arena.
    private var mapping: MappedBuffer
    private let base: UnsafeMutableRawPointer
    let cuts: [Range<Int>]
    var model: [UInt8]

    init(_ count: Int, _ cuts: [Range<Int>], _ random: inout Seeded) throws {
        var buffer = try Buffer(count: (count + 63) & ~63)
        let start = unsafe buffer.withUnsafeMutableBytes { $0.baseAddress! }
        let mapped = try buffer.map(for: Arena.home, direction: .bidirectional).get()
        unsafe base = unsafe start
        mapping = mapped
        self.cuts = cuts
        model = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            for index in 0..<count { unsafe buffer[index] = UInt8(truncatingIfNeeded: random.next()) }
            filled = count
        }
        unsafe model.withUnsafeBytes { bytes in unsafe base.copyMemory(from: bytes.baseAddress!, byteCount: count) }
    }

    /// Regions of `counts` bytes, apart from each other, at any alignment.
    init(_ counts: [Int], _ random: inout Seeded) throws {
        var at = 0
        var cuts: [Range<Int>] = []
        for count in counts {
            at += Int.random(in: 1..<80, using: &random)
            cuts.append(at..<at + count)
            at += count
        }
        try self.init(at + 80, cuts, &random)
    }

    var regionCount: Int { cuts.count }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region {
        guard cuts.indices.contains(index) else { return .none }
        return mapping.region(at: 0).part(from: UInt64(cuts[index].lowerBound), count: UInt64(cuts[index].count))
    }

    var bytes: [UInt8] { unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: model.count)) }
    func bytes(of region: Int) -> ArraySlice<UInt8> { bytes[cuts[region]] }

    /// Nil where memory equals the model; otherwise the first difference.
    var difference: String? {
        let now = bytes
        guard now != model else { return nil }
        let wrong = now.indices.filter { now[$0] != model[$0] }
        let first = wrong[0]
        let inside = cuts.firstIndex { $0.contains(first) }.map { "region \($0)+\(first - cuts[$0].lowerBound)" } ?? "outside"
        return "\(wrong.count) bytes differ, first at \(first) (\(inside)): \(now[first]), expected \(model[first])"
    }
}

extension Channel where E == CPUEngine, C: ~Copyable {
    static func make(_ configuration: CPUConfiguration) throws -> Channel {
        try Channel(CPUEngine(configuration), domain: Arena.domain)
    }

    /// Submits one operation and polls until it has ended, at most ten seconds.
    mutating func run(_ operation: Operation, _ cargo: consuming C) throws -> Finished<C> {
        let cookie = try submit(operation, cargo).get()
        issuePending()
        return try finish(cookie)
    }

    mutating func finish(_ cookie: Cookie) throws -> Finished<C> {
        let deadline = Deadline.after(milliseconds: 10_000)
        while Deadline.now < deadline {
            if let finished = try take(cookie) { return finished }
        }
        throw DMAError(.deadlinePassed)
    }
}

/// Lends another cargo's region, for transactions that share memory. The owner outlives them.
struct Window: ~Copyable, Cargo {
    private let range: MappedRange
    init(_ range: MappedRange) { self.range = range }
    var regionCount: Int { 1 }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region {
        guard index == 0 else { return .none }
        return unsafe Region(
            unsafeStart: range.start, count: range.count, domain: Arena.domain.id, access: range.access, owner: self)
    }
}

/// The configurations of an engine under test: with small quanta, so that small operations take many.
enum Setup: String, CaseIterable, CustomTestStringConvertible {
    case inline, workers, mixed
    var testDescription: String { rawValue }

    var configuration: CPUConfiguration {
        var configuration = CPUConfiguration(depth: 32, workers: self == .inline ? 0 : 2)
        configuration.quantum = 4096
        configuration.kernels.streamThreshold = 64 << 10
        // With 0, everything goes to the workers.
        configuration.inlineLimit = self == .mixed ? 8192 : 0
        return configuration
    }
}
