// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMATestSupport
import Testing

/// Operations over the segments of one leased block, whose list the channel passes to the engine unchanged.
@Suite("Operations over a block's segments")
struct StripeTests {
    static let segment = 256

    private static func fill(_ block: inout Block, _ bytes: [UInt8]) throws {
        try block.withMutableBytes { span throws(DMAError) in
            for index in bytes.indices { span.storeBytes(of: bytes[index], toByteOffset: index, as: UInt8.self) }
        }
    }

    private static func bytes(_ block: borrowing Block) throws -> [UInt8] {
        try block.withBytes { span throws(DMAError) in
            (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
    }

    /// Runs an operation on a stripe and compares every byte of the block with the result of `model`.
    private static func run(
        _ operation: Operation, segments: Int, _ configuration: CPUConfiguration, times: Int = 40, before: () -> Void = {},
        _ model: (inout [UInt8]) -> Void
    ) throws {
        var random = Seeded("stripe \(operation.kind)")
        let domain = Domain(name: "stripes")
        let memory = try Buffer(count: 16 * segments * segment).mapped(for: domain, direction: .bidirectional)
        var pool = try Pool(memory, blockSize: segments * segment, segments: segments)
        var channel = try Channel(CPUEngine(configuration), domain: domain, of: Block.self)
        for _ in 0..<times {
            before()
            guard var block = pool.lease() else {
                Issue.record("no block is left")
                return
            }
            var bytes = KernelTests.bytes(block.count, &random)
            try fill(&block, bytes)
            model(&bytes)
            let cookie = try channel.submit(operation, block).get()
            channel.issuePending()
            let finished = try channel.finish(cookie)
            check(finished.status == .complete && finished.residue == 0, "\(operation.kind)")
            block = finished.takeCargo()
            check(try Self.bytes(block) == bytes, "\(operation.kind)")
            pool.giveBack(block)
        }
        check(channel.faults.total == 0)
    }

    /// Byte `at` of segment `index`.
    private static func place(_ index: Int, _ at: Int) -> Int { index * segment + at }

    @Test("XOR", arguments: [Setup.inline, .workers], KernelWork.xor.paths)
    func xor(setup: Setup, path: KernelPath) throws {
        var configuration = setup.configuration
        configuration.kernels.xor = path
        for sources in [2, 5] {
            try Self.run(.xor(sources: 0..<UInt16(sources), to: UInt16(sources)), segments: sources + 1, configuration) {
                bytes in
                for at in 0..<Self.segment {
                    bytes[Self.place(sources, at)] = (0..<sources).reduce(0) { $0 ^ bytes[Self.place($1, at)] }
                }
            }
        }
    }

    @Test("P and Q", arguments: [Setup.inline, .workers], KernelWork.pq.paths)
    func pq(setup: Setup, path: KernelPath) throws {
        var configuration = setup.configuration
        configuration.kernels.pq = path
        try Self.run(.pq(sources: 0..<4, p: 4), segments: 6, configuration) { bytes in
            for at in 0..<Self.segment {
                var (p, q): (UInt8, UInt8) = (0, 0)
                for source in 0..<4 {
                    let value = bytes[Self.place(source, at)]
                    p ^= value
                    q ^= KernelTests.multiply(Coefficients.raid6.values[source], value)
                }
                bytes[Self.place(4, at)] = p
                bytes[Self.place(5, at)] = q
            }
        }
    }

    @Test("a scatter list into another", arguments: [Setup.inline, .workers])
    func scatterGather(setup: Setup) throws {
        // As many segments on both sides, and one against one further on.
        try Self.run(.scatterGather(from: 1..<4, to: 4..<7), segments: 8, setup.configuration) { bytes in
            for at in 0..<3 * Self.segment { bytes[Self.place(4, at)] = bytes[Self.place(1, at)] }
        }
        try Self.run(.scatterGather(from: 0..<1, to: 1..<2), segments: 2, setup.configuration) { bytes in
            for at in 0..<Self.segment { bytes[Self.place(1, at)] = bytes[at] }
        }
    }

    @Test("from the wire and to it, across the end of the FIFO", arguments: [Setup.inline, .workers])
    func peripheral(setup: Setup) throws {
        // Not a multiple of the transfer's length, so that transfers cross the FIFO's end at different positions.
        let fifo = try FIFOPeripheral(depth: 2048, width: 4)
        var configuration = setup.configuration
        configuration.peripherals = [fifo]
        let wire = (0..<3 * Self.segment).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 3) }
        func deliver() { check(fifo.deliver(wire[...]) == wire.count) }
        try Self.run(.fromPeripheral(0..<3), segments: 4, configuration, before: deliver) { bytes in
            bytes.replaceSubrange(0..<wire.count, with: wire)
        }
        check(fifo.received == 0 && fifo.overrun == 0)
        var sent: [UInt8] = []
        func collect() { _ = fifo.collect(4096) }
        try Self.run(.toPeripheral(1..<4), segments: 4, configuration, before: collect) { bytes in
            sent = Array(bytes[Self.segment...])
        }
        check(fifo.collect(4096) == sent)
    }
}
