// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACPUEngine
import DMACore
import Foundation

/// Keeps a channel's transactions circulating: takes a completion, submits its cargo again, and rings the doorbell once per
/// batch.
///
/// - Parameter clock: processor time excludes the time that other programs take from this thread; elapsed time includes it.
/// - Returns: nanoseconds, or -1 where something was refused or failed.
@inline(never)
func churn<C: Cargo & ~Copyable>(
    _ channel: inout Channel<CPUEngine, C>, _ operation: DMACore.Operation, batch: Int, operations: Int,
    clock: () -> Int64 = peer_processor_time
) -> Int64 {
    channel.issuePending()
    let begin = clock()
    var left = operations
    while left > 0 {
        let now = min(left, batch)
        var taken = 0
        while taken < now {
            guard let finished = channel.next() else { continue }
            guard finished.status == .complete else { return -1 }
            switch channel.submit(operation, finished.takeCargo()) {
            case .queued: taken += 1
            case .refused: return -1
            }
        }
        channel.issuePending()
        left -= now
    }
    return clock() - begin
}

/// Copies, fills and CRCs of the engine through a channel, one thread, inline, 32 in flight, against C loops on memory of the
/// same kind and layout.
enum Copies {
    static let sizes = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20]

    /// As many pieces as allow 32 in flight within 512 MiB.
    static func pieces(_ bytes: Int) -> Int { max(2, min(32, (512 << 20) / bytes)) }

    static func buffer(_ count: Int) throws -> Buffer {
        var buffer = try Buffer(count: count, alignment: 4096)
        unsafe buffer.withUnsafeMutableBytes { bytes in
            // Every page is allocated and written before the clock starts.
            for index in stride(from: 0, to: bytes.count, by: 64) {
                unsafe bytes[index] = UInt8(truncatingIfNeeded: index >> 6)
            }
        }
        return buffer
    }

    static func address(_ buffer: inout Buffer) -> UnsafeMutablePointer<UInt8> {
        // The buffer outlives the measurement that uses the address.
        unsafe buffer.withUnsafeMutableBytes { unsafe $0.baseAddress!.assumingMemoryBound(to: UInt8.self) }
    }

    /// Against memcpy, by processor time; or against dma_skeleton, which has its own thread, by elapsed time.
    static func copy(_ size: Int, skeleton: Skeleton? = nil) throws -> Duel {
        let pieces = pieces(2 * size)
        let domain = Domain(name: "cpu")
        var pool = try Pool(
            buffer(2 * pieces * size).map(for: domain, direction: .bidirectional).get(), blockSize: size)
        var channel = try Channel<CPUEngine, Pair<Block, Block>>(CPUEngine(CPUConfiguration(depth: 32)), domain: domain)
        let operation = DMACore.Operation.copy(count: size)
        for _ in 0..<pieces {
            guard let from = pool.lease(), let to = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(operation, Pair(from, to)).get()
        }
        if let skeleton {
            return duel("copy, time passed", bytes: size, ["swift-dma", "dma_skeleton"]) { index, operations in
                index == 0
                    ? churn(&channel, operation, batch: pieces, operations: operations) { Deadline.now.nanoseconds }
                    : skeleton.run(bytes: size, operations: operations)
            }
        }
        var memory = try buffer(2 * pieces * size)
        let base = unsafe address(&memory)
        let note = pieces < 32 ? "\(pieces) in flight" : ""
        return duel("copy", bytes: size, ["swift-dma", "memcpy"], note: note) { index, operations in
            index == 0
                ? churn(&channel, operation, batch: pieces, operations: operations)
                : unsafe peer_memcpy(base, 2 * size, size, pieces, size, operations)
        }
    }

    static func fill(_ size: Int, pattern: UInt64, _ what: String) throws -> Duel {
        let pieces = pieces(size)
        let domain = Domain(name: "cpu")
        var pool = try Pool(buffer(pieces * size).map(for: domain, direction: .bidirectional).get(), blockSize: size)
        var channel = try Channel<CPUEngine, Block>(CPUEngine(CPUConfiguration(depth: 32)), domain: domain)
        let operation = DMACore.Operation.fill(count: size, pattern: pattern)
        for _ in 0..<pieces {
            guard let to = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(operation, to).get()
        }
        var memory = try buffer(pieces * size)
        let base = unsafe address(&memory)
        return duel(what, bytes: size, ["swift-dma", "memset"]) { index, operations in
            index == 0
                ? churn(&channel, operation, batch: pieces, operations: operations)
                : unsafe peer_memset(base, size, pieces, size, operations)
        }
    }

    static func crc32c(_ size: Int) throws -> Duel {
        let pieces = pieces(size)
        let domain = Domain(name: "cpu")
        var pool = try Pool(buffer(pieces * size).map(for: domain, direction: .bidirectional).get(), blockSize: size)
        var channel = try Channel<CPUEngine, Block>(CPUEngine(CPUConfiguration(depth: 32)), domain: domain)
        let operation = DMACore.Operation.crc32c(count: size)
        for _ in 0..<pieces {
            guard let from = pool.lease() else { throw DMAError(.poolEmpty) }
            _ = try channel.submit(operation, from).get()
        }
        var memory = try buffer(pieces * size)
        let base = unsafe address(&memory)
        return duel("crc32c", bytes: size, ["swift-dma", "isa-l"]) { index, operations in
            index == 0
                ? churn(&channel, operation, batch: pieces, operations: operations)
                : unsafe peer_isal_crc32c(base, size, pieces, size, operations)
        }
    }
}

/// DPDK's dma_skeleton in its own process, controlled over pipes.
final class Skeleton {
    private let process = Process()
    private let questions = Pipe()
    private let answers = Pipe()

    /// Nil where the program does not exist, or does not start.
    init?(_ path: String?) {
        guard let path, FileManager.default.isExecutableFile(atPath: path) else { return nil }
        process.executableURL = URL(fileURLWithPath: path)
        process.standardInput = questions
        process.standardOutput = answers
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil, line() == "ready" else { return nil }
    }

    deinit {
        try? questions.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    private func line() -> String {
        var text = ""
        while let byte = try? answers.fileHandleForReading.read(upToCount: 1), let first = byte.first, first != 10 {
            text.append(Character(UnicodeScalar(first)))
        }
        return text
    }

    func run(bytes: Int, operations: Int) -> Int64 {
        let batches = max(operations / 32, 1)
        guard (try? questions.fileHandleForWriting.write(contentsOf: Data("\(bytes) \(batches)\n".utf8))) != nil,
            let time = Int64(line())
        else { return -1 }
        // For the requested number of operations, which need not be whole batches.
        return time * Int64(operations) / Int64(batches * 32)
    }
}
