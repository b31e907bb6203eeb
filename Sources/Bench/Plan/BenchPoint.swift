// SPDX-License-Identifier: Apache-2.0

package import DMACore
internal import DMAUnits

/// One point of a sweep: what one row of a benchmark measures.
package struct BenchPoint: Hashable, Sendable, Codable {
    /// The engine's name in the system's list, or ``memcpy``, ``pread`` or ``pwrite``.
    package var engine: String
    /// What it does.
    package var operation: BenchOperation
    /// Bytes in one transaction; of each source, for XOR and PQ.
    package var bytes: Int
    /// Transactions in flight on each channel.
    package var depth: Int
    /// Channels, each with a thread (or, where completions are awaited, a task) of its own.
    package var threads: Int
    /// How the channels take their turns.
    package var mode: BenchMode
    /// How the client learns of completions.
    package var wait: CompletionWait
    /// Bytes a second that all channels together are held to, submitted by a schedule; nil for as fast as completions allow.
    package var rate: Int?
    /// Nodes that the memory is taken from; nil where the case says, or the kernel chooses.
    package var nodes: NodePair?
    /// The engine of which a channel runs the same transfers at the same time; nil for none.
    package var beside: String?

    /// The C library's memcpy, which stands beside the engines in every run.
    package static let memcpy = "memcpy"
    /// pread(2) and pwrite(2), one after the other on each thread, which stand beside the engines that move files.
    package static let pread = "pread"
    package static let pwrite = "pwrite"

    package init(
        engine: String, operation: BenchOperation = .copy, bytes: Int, depth: Int = 32, threads: Int = 1,
        mode: BenchMode = .burst, wait: CompletionWait = .poll, rate: Int? = nil, nodes: NodePair? = nil,
        beside: String? = nil
    ) {
        self.engine = engine
        self.operation = operation
        self.bytes = bytes
        self.depth = depth
        self.threads = threads
        self.mode = mode
        self.wait = wait
        self.rate = rate
        self.nodes = nodes
        self.beside = beside
    }

    /// Whether the row is the C library's memcpy.
    package var isMemcpy: Bool { engine == BenchPoint.memcpy }
    /// Whether the row is pread's or pwrite's.
    package var isSystemCall: Bool { engine == BenchPoint.pread || engine == BenchPoint.pwrite }
    /// Whether the row is no engine's, but what engines are measured beside.
    package var isBaseline: Bool { isMemcpy || isSystemCall }

    /// The memcpy that this point is measured beside: as much memory of the same nodes, as many threads, the same rate.
    package var besideMemcpy: BenchPoint {
        BenchPoint(engine: BenchPoint.memcpy, bytes: bytes, depth: depth, threads: threads, rate: rate, nodes: nodes)
    }

    /// The pread or pwrite that this point is measured beside: the same file, as many threads, the same rate; nil where no file is moved.
    package var besideSystemCall: BenchPoint? {
        guard operation.isPeripheral else { return nil }
        let call = operation == .fromPeripheral ? BenchPoint.pread : BenchPoint.pwrite
        return BenchPoint(
            engine: call, operation: operation, bytes: bytes, depth: depth, threads: threads, rate: rate, nodes: nodes)
    }

    /// What sets the point apart beside its size, depth, mode and wait, in words; empty for most.
    package var conditions: [String] {
        [
            rate.map { "at \(ByteSize.exactRate($0))" }, nodes.map { "node \($0.source) to \($0.destination)" },
            beside.map { "beside \($0)" },
        ].compactMap(\.self)
    }

    /// Nanoseconds between two transactions of one channel at the point's ``rate``; nil where there is none.
    var gap: Double? { rate.map { Double(bytes) * Double(threads) * 1e9 / Double($0) } }
}

/// The memory nodes (NUMA) of a transfer's two sides, by their numbers in /sys/devices/system/node.
package struct NodePair: Hashable, Sendable, Codable {
    package var source: Int
    package var destination: Int

    package init(source: Int, destination: Int) {
        self.source = source
        self.destination = destination
    }
}

/// The operations that a benchmark knows: those that need nothing but memory, by their names in ``DMACore/OperationKind``, and
/// those that move a file.
package enum BenchOperation: String, Hashable, Sendable, Codable, CaseIterable {
    case copy
    case fill
    case crc32c
    case copyCRC32C
    case xor
    case xorValidate
    case pq
    case pqValidate
    case scatterGather
    case interleaved
    /// From a file into memory.
    case fromPeripheral
    /// From memory into a file.
    case toPeripheral

    /// Whether a file is on one side.
    package var isPeripheral: Bool { self == .fromPeripheral || self == .toPeripheral }

    /// The kind that the engine's capabilities must have.
    package var kind: OperationKind { OperationKind(name: rawValue) ?? .peripheral }
}

/// A transfer mode as it is asked for and reported: ``DMACore/TransferMode`` without the live request line.
package enum BenchMode: Hashable, Sendable {
    /// As fast as the engine goes.
    case burst
    /// At work for this share of the time: above 0, at most 1.
    case cycleStealing(Double)
    /// As much as the foreground task asks for after each piece of its own work.
    case demand

    /// Whether only the effect on a foreground task shows what the mode is for.
    package var isPaced: Bool { self != .burst }

    /// As the command line has it: "burst", "cycle-stealing:0.25", "demand".
    package var text: String {
        switch self {
        case .burst: "burst"
        case .cycleStealing(let share): "cycle-stealing:\(share)"
        case .demand: "demand"
        }
    }

    /// The mode of that text; nil where there is none.
    package init?(text: String) {
        switch text {
        case "burst": self = .burst
        case "demand": self = .demand
        default:
            // 0.1 wrote "steal:".
            guard let prefix = ["cycle-stealing:", "steal:"].first(where: text.hasPrefix),
                let share = Double(text.dropFirst(prefix.count)), share > 0, share <= 1
            else { return nil }
            self = .cycleStealing(share)
        }
    }

    /// What a text must look like.
    package static let allowed =
        "burst, demand, or cycle-stealing:SHARE with a share above 0 and at most 1, as in cycle-stealing:0.25"
}

extension BenchMode: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let mode = BenchMode(text: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text): a mode is \(Self.allowed)")
        }
        self = mode
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// How the client learns that a transaction is over.
package enum CompletionWait: String, Hashable, Sendable, Codable, CaseIterable {
    /// Looks again and again.
    case poll
    /// Looks, and sleeps until the next interrupt where nothing is there.
    case wait
    /// A task that is suspended meanwhile.
    case await
}
