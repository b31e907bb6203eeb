// SPDX-License-Identifier: Apache-2.0

/// A sweep: each engine with each operation, size, depth, number of threads, mode and way to wait.
package struct BenchCase: Hashable, Sendable, Codable {
    /// For the reports; may be empty.
    package var name = ""
    /// Engines by name; empty for all that the machine offers.
    package var engines: [String] = []
    /// Operations.
    package var operations: [BenchOperation] = [.copy]
    /// Bytes in one transaction.
    package var sizes: [Int] = [64, 1 << 10, 16 << 10, 256 << 10, 4 << 20]
    /// Transactions in flight on each channel.
    package var depths: [Int] = [32]
    /// Channels, each with a thread of its own.
    package var threads: [Int] = [1]
    /// Transfer modes.
    package var modes: [BenchMode] = [.burst]
    /// How completions are waited for.
    package var waits: [CompletionWait] = [.poll]
    /// Rates that the points are held to, in bytes a second; empty for as fast as completions allow.
    package var rates: [Int]?
    /// Pairs that each point is measured for.
    package var matrix: BenchMatrix?
    /// Whether memcpy, and for files pread and pwrite, get their rows.
    package var memcpy = true
    /// What each measurement of the case goes by.
    package var settings = BenchSettings()
    /// Whether the case is left out.
    package var skip = false

    package init() {}

    /// Points in the order of the sweep; those of memcpy, pread and pwrite stand before those that are compared with them.
    ///
    /// - Parameters:
    ///   - available: the machine's engines, for cases that name none.
    ///   - nodes: the machine's memory nodes, for a matrix of them.
    package func points(_ available: [String], nodes: [Int] = []) -> [BenchPoint] {
        var points: [BenchPoint] = []
        var seen: Set<BenchPoint> = []
        func add(_ point: BenchPoint) {
            if seen.insert(point).inserted { points.append(point) }
        }
        let engines = engines.isEmpty ? available : engines
        for base in bases(nodes) {
            // What runs beside another channel is compared with itself alone.
            if memcpy, matrix != .channels {
                add(base.besideMemcpy)
                if let call = base.besideSystemCall { add(call) }
            }
            for engine in engines {
                for other in matrix == .channels ? [nil] + engines.map(Optional.some) : [nil] {
                    for mode in modes {
                        for wait in waits {
                            var point = base
                            (point.engine, point.mode, point.wait, point.beside) = (engine, mode, wait, other)
                            add(point)
                        }
                    }
                }
            }
        }
        return points
    }

    /// The points without what distinguishes engines.
    private func bases(_ nodes: [Int]) -> [BenchPoint] {
        let pairs: [NodePair?] =
            matrix == .nodes ? nodes.flatMap { source in nodes.map { NodePair(source: source, destination: $0) } } : [nil]
        let rates: [Int?] = (self.rates ?? []).isEmpty ? [nil] : (self.rates ?? []).map(Optional.some)
        var bases = [BenchPoint(engine: "", bytes: 0)]
        func vary<Value>(_ values: [Value], _ set: (inout BenchPoint, Value) -> Void) {
            bases = bases.flatMap { base in
                values.map { value in
                    var point = base
                    set(&point, value)
                    return point
                }
            }
        }
        vary(operations) { $0.operation = $1 }
        vary(sizes) { $0.bytes = $1 }
        vary(depths) { $0.depth = $1 }
        vary(threads) { $0.threads = $1 }
        vary(rates) { $0.rate = $1 }
        vary(pairs) { $0.nodes = $1 }
        return bases
    }
}

/// Pairs that make a matrix of a case: a row for the one, a column for the other.
package enum BenchMatrix: String, Hashable, Sendable, Codable, CaseIterable {
    /// From memory of each node (NUMA) to memory of each node.
    case nodes
    /// A channel of each engine while a channel of each engine runs the same transfers, and alone.
    case channels
}

extension BenchCase {
    /// Pairs of the matrix, before the machine's nodes and engines are known: a large machine has 16 nodes.
    fileprivate var mostPairs: Int {
        switch matrix {
        case nil: 1
        case .nodes: 256
        case .channels: max(engines.count, 1) + 1
        }
    }
}

/// What does not distinguish rows: how each is measured.
package struct BenchSettings: Hashable, Sendable, Codable {
    /// Whether each transaction meets memory that the last one left in the caches.
    package enum Cache: String, Hashable, Sendable, Codable, CaseIterable {
        /// The same memory again and again.
        case warm
        /// A walk through more memory than the last-level cache holds.
        case cold
    }

    /// The order of the places in a file.
    package enum Access: String, Hashable, Sendable, Codable, CaseIterable {
        /// From the beginning to the end, and again.
        case sequential
        /// Each place once in an order without a pattern, and again.
        case random
    }

    /// Measurements of each point, in turn with those of all others; 1 or more.
    package var repeats = 5
    /// Seconds of one measurement's throughput part; its latency part takes a third of that.
    package var seconds = 0.1
    /// Seconds of work before the clock starts, in each measurement.
    package var warmup = 0.01
    /// Submissions for each ring of the doorbell; nil for as many as are in flight.
    package var batch: Int?
    /// Bytes that sources and destinations of one channel may take together. It bounds the depth of large transactions, and
    /// what is walked through where memory is cold.
    package var memory = 1 << 30
    package var cache = Cache.warm
    /// Processors that the threads are pinned to, in turn; empty where the kernel chooses.
    package var processors: [Int] = []
    /// Nodes that the memory is taken from; nil where the kernel chooses.
    package var sourceNode: Int?
    package var destinationNode: Int?
    /// Sources of XOR and PQ.
    package var sources = 4
    /// Segments on each side of scatter-gather.
    package var sourceSegments = 4
    package var destinationSegments = 1
    /// Whether a foreground task runs beside paced transfers, on the same processor.
    package var foreground = true
    /// Where the file of a peripheral operation is made; nil for the folder for temporary files.
    package var directory: String?
    /// Bytes of that file, which the threads share.
    package var fileSize = BenchSettings.standardFileSize
    /// The order of the places in the file.
    package var access = Access.sequential
    /// Whether file transfers go past the page cache, where the file system lets them.
    package var direct = false
    /// Seconds of one step of a row's time series; nil for none.
    package var interval: Double?

    /// Intervals of a time series beyond which its file is more likely a slip than a wish.
    package static let mostIntervals = 100_000

    /// Whether a measurement has no more intervals than ``mostIntervals``.
    package var hasFewIntervals: Bool { interval.map { seconds / $0 <= Double(BenchSettings.mostIntervals) } ?? true }

    /// Bytes of a file if no size is given.
    package static let standardFileSize = 64 << 20

    package init() {}

    /// Whether figures by both may be compared. A time series changes none.
    func measuresLike(_ other: BenchSettings) -> Bool {
        var one = self
        one.interval = other.interval
        return one == other
    }

    /// Takes memory from these nodes, if there are any.
    mutating func take(_ nodes: NodePair?) {
        guard let nodes else { return }
        (sourceNode, destinationNode) = (nodes.source, nodes.destination)
    }
}

extension BenchSettings {
    /// What an earlier version of the program did not know yet is as it was then.
    package init(from decoder: any Decoder) throws {
        self.init()
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        repeats = try keys.decode(Int.self, forKey: .repeats)
        seconds = try keys.decode(Double.self, forKey: .seconds)
        warmup = try keys.decode(Double.self, forKey: .warmup)
        batch = try keys.decodeIfPresent(Int.self, forKey: .batch)
        memory = try keys.decode(Int.self, forKey: .memory)
        cache = try keys.decode(Cache.self, forKey: .cache)
        processors = try keys.decode([Int].self, forKey: .processors)
        sourceNode = try keys.decodeIfPresent(Int.self, forKey: .sourceNode)
        destinationNode = try keys.decodeIfPresent(Int.self, forKey: .destinationNode)
        sources = try keys.decode(Int.self, forKey: .sources)
        sourceSegments = try keys.decode(Int.self, forKey: .sourceSegments)
        destinationSegments = try keys.decode(Int.self, forKey: .destinationSegments)
        foreground = try keys.decode(Bool.self, forKey: .foreground)
        directory = try keys.decodeIfPresent(String.self, forKey: .directory)
        fileSize = try keys.decodeIfPresent(Int.self, forKey: .fileSize) ?? fileSize
        access = try keys.decodeIfPresent(Access.self, forKey: .access) ?? access
        direct = try keys.decodeIfPresent(Bool.self, forKey: .direct) ?? direct
        interval = try keys.decodeIfPresent(Double.self, forKey: .interval)
    }
}

/// Everything that one run measures.
package struct BenchPlan: Hashable, Sendable, Codable {
    /// In the order of the file.
    package var cases: [BenchCase]

    package init(cases: [BenchCase]) { self.cases = cases }

    /// Points beyond which a plan is more likely a slip than a wish: at a tenth of a second and five repeats each, half a day.
    package static let pointLimit = 100_000

    /// How many points there are, without rows of memcpy, pread and pwrite, and with one engine where a case names none. Counts
    /// without making them.
    package var mostPoints: Int {
        cases.reduce(0) { sum, sweep in
            let counts = [
                max(sweep.engines.count, 1), sweep.operations.count, sweep.sizes.count, sweep.depths.count, sweep.threads.count,
                sweep.modes.count, sweep.waits.count, max(sweep.rates?.count ?? 0, 1), sweep.mostPairs,
            ]
            let product = counts.reduce(1) { $0.multipliedReportingOverflow(by: $1).overflow ? Int.max / 2 : $0 * $1 }
            return sweep.skip ? sum : min(sum, .max / 2) + min(product, .max / 2)
        }
    }

    /// What `dmactl bench` does without arguments: copies by size, the modes beside a foreground task, and files by size.
    package static var standard: BenchPlan {
        var sizes = BenchCase()
        sizes.name = "Copies by size"
        var modes = BenchCase()
        modes.name = "Transfer modes"
        modes.sizes = [1 << 20]
        modes.depths = [4]
        modes.engines = ["cpu"]
        modes.modes = [.burst, .cycleStealing(0.5), .cycleStealing(0.25), .cycleStealing(0.1), .demand]
        // A thread that polls has nothing to give to the task beside it.
        modes.waits = [.wait]
        modes.settings.seconds = 0.3
        var files = BenchCase()
        files.name = "Files by size"
        files.operations = [.fromPeripheral, .toPeripheral]
        files.sizes = [4 << 10, 64 << 10, 1 << 20]
        // What reads and writes files has something else to do meanwhile.
        files.waits = [.wait]
        files.settings.seconds = 0.03
        return BenchPlan(cases: [sizes, modes, files])
    }
}
