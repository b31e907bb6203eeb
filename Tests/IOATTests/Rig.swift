// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEngineKit
import DMAIOATEngine
import DMAIOATModel
import DMAInProcessAccess
import DMATestSupport
import Testing

/// An I/OAT of this process, and the way to it.
struct Rig {
    let model: IOATModel
    let device: InProcessDevice

    init(
        _ model: IOATModel = IOATModel(), pace: InProcessDevice.Pace = .stepped,
        addressing: InProcessDevice.Addressing = .translated(bits: 32), recorder: Recorder? = nil
    ) throws {
        self.model = model
        device = try InProcessDevice(model, name: "ioat model", addressing: addressing, pace: pace, recorder: recorder)
    }

    /// Waits that a test can afford, on a machine that does other things as well.
    static var configuration: IOATConfiguration {
        var configuration = IOATConfiguration()
        configuration.depth = 16
        configuration.patience = .seconds(60)
        configuration.restartLimit = .seconds(30)
        return configuration
    }

    func engine(_ configuration: IOATConfiguration = Rig.configuration) throws(AccessError) -> IOATEngine {
        try IOATEngine(opening: device, configuration)
    }
}

typealias IOATChannelUnderTest = Channel<IOATEngine, Arena>

struct Late: Error {}

/// `#expect` for calls of noncopyable values, which the macro cannot take apart.
func check(_ isSo: Bool, at location: SourceLocation = #_sourceLocation) {
    if !isSo { Issue.record("expected otherwise", sourceLocation: location) }
}

/// Memory with regions in it, and a model of its expected contents: all of it is compared, so that missing writes, writes outside and changed sources
/// are found.
struct Arena: ~Copyable, Cargo {
    private var mapping: MappedBuffer
    let cuts: [Range<Int>]
    var model: [UInt8]

    /// Regions of `counts` bytes, apart from each other, at any alignment.
    init(_ counts: [Int], _ random: inout Seeded, for domain: Domain) throws {
        var at = 0
        var cuts: [Range<Int>] = []
        for count in counts {
            at += Int.random(in: 1..<80, using: &random)
            cuts.append(at..<at + count)
            at += count
        }
        let model = random.bytes(at + 80)
        try self.init(model, cuts, for: domain)
    }

    init(_ model: [UInt8], _ cuts: [Range<Int>], for domain: Domain) throws {
        var buffer = try Buffer(count: model.count, for: domain)
        buffer.fill(model)
        mapping = try buffer.map(for: domain, direction: .bidirectional).get()
        self.cuts = cuts
        self.model = model
    }

    var regionCount: Int { cuts.count }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region {
        guard cuts.indices.contains(index) else { return .none }
        return mapping.region(at: 0).part(from: UInt64(cuts[index].lowerBound), count: UInt64(cuts[index].count))
    }

    /// Nil where memory equals the model; otherwise the first difference.
    consuming func difference() throws -> String? {
        let (model, cuts) = (model, cuts)
        let now = try mapping.unmap().contents
        guard now != model else { return nil }
        let wrong = now.indices.filter { now[$0] != model[$0] }
        let first = wrong[0]
        let inside = cuts.firstIndex { $0.contains(first) }.map { "region \($0)+\(first - cuts[$0].lowerBound)" } ?? "outside"
        return "\(wrong.count) bytes differ, first at \(first) (\(inside)): \(now[first]), expected \(model[first])"
    }
}

extension Buffer {
    mutating func fill(_ bytes: [UInt8]) {
        var span = mutableBytes
        for (offset, byte) in bytes.enumerated() { try? span.store(byte, at: offset) }
    }
    var contents: [UInt8] { (0..<count).map { (try? load(at: $0, as: UInt8.self)) ?? 0 } }
}

/// How a transaction ended, and what it has left in memory.
struct Ended {
    let status: TransactionStatus
    let value: UInt64
    let residue: UInt64
    let deviceStatus: UInt32
    let difference: String?

    /// Whether it is complete and every byte is where it belongs.
    var isRight: Bool { status == .complete && residue == 0 && deviceStatus == 0 && difference == nil }
}

extension Channel where E == IOATEngine, C == Arena {
    /// Submits one operation and polls until it has ended.
    mutating func run(_ operation: Operation, _ arena: consuming Arena) throws -> Ended {
        _ = try submit(operation, arena).get()
        issuePending()
        return try end()
    }

    /// Polls until the next transaction has ended.
    mutating func end(_ limit: Int64 = 60_000) throws -> Ended {
        let deadline = Deadline.after(milliseconds: limit)
        while Deadline.now < deadline {
            guard let finished = next() else {
                if channelState == .gone || withEngine({ $0.isGone }) { throw DMAError(.deviceGone) }
                continue
            }
            let (status, value, residue) = (finished.status, finished.value, finished.residue)
            let word = finished.deviceStatus
            let difference = try finished.takeCargo().difference()
            return Ended(status: status, value: value, residue: residue, deviceStatus: word, difference: difference)
        }
        throw Late()
    }

    /// A copy of random bytes.
    mutating func copy(_ count: Int, _ random: inout Seeded, for domain: Domain, flags: DescriptorFlags = []) throws -> Ended {
        var arena = try Arena([count, count], &random, for: domain)
        arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
        return try run(.copy(flags: flags), arena)
    }

    /// The same, left in flight.
    mutating func submitCopy(_ count: Int, _ random: inout Seeded, for domain: Domain, flags: DescriptorFlags = []) throws {
        var arena = try Arena([count, count], &random, for: domain)
        arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
        _ = try submit(.copy(flags: flags), arena).get()
    }

    func figure(_ name: String) -> UInt64 {
        withEngine { engine in engine.figures.first { $0.name == name }?.value } ?? .max
    }
}

/// The arithmetic of RAID-6, bit by bit: it shares nothing with the kernels.
enum Galois {
    static func product(_ left: UInt8, _ right: UInt8) -> UInt8 {
        var (a, b, result) = (UInt16(left), right, UInt16(0))
        while b != 0 {
            if b & 1 != 0 { result ^= a }
            a <<= 1
            if a & 0x100 != 0 { a ^= 0x11d }
            b >>= 1
        }
        return UInt8(truncatingIfNeeded: result)
    }

    /// P and Q of the regions `sources` of a model.
    static func parity(_ arena: borrowing Arena, sources: Range<Int>, _ weights: SIMD32<UInt8>) -> (p: [UInt8], q: [UInt8]) {
        let count = arena.cuts[sources.lowerBound].count
        var (p, q) = ([UInt8](repeating: 0, count: count), [UInt8](repeating: 0, count: count))
        for index in sources {
            let table = (0...255).map { product(UInt8($0), weights[index]) }
            for (place, byte) in arena.model[arena.cuts[index]].enumerated() {
                p[place] ^= byte
                q[place] ^= table[Int(byte)]
            }
        }
        return (p, q)
    }
}
