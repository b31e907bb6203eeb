// SPDX-License-Identifier: Apache-2.0

#if Metrics
    public import CoreMetrics
    public import DMACore
    public import DMAEngineKit

    /// A channel's activity, for the backend that the program has set in swift-metrics.
    ///
    /// | label | kind | meaning |
    /// |---|---|---|
    /// | `dma_transactions` | counter | transactions ended, by the dimension `status`: complete, failed, aborted … |
    /// | `dma_bytes` | counter | bytes moved, including those of failed transactions |
    /// | `dma_latency` | timer | from submission to completion, where the client passes the submission time |
    /// | `dma_in_flight` | gauge | transactions submitted and not yet taken |
    /// | `dma_engine_faults` | counter | protocol violations of the engine |
    ///
    /// Every label has the dimension `channel`. Keep one value for each channel; one thread at a time uses it. The channel's
    /// fast path is not affected: only what the client passes in is recorded.
    public struct ChannelMetrics: Sendable {
        /// The final statuses of a transaction; each has a counter.
        private static let endings = TransactionStatus.allCases.filter(\.isFinal)

        private let statuses: [Counter]
        private let bytes: Counter
        private let latency: Timer
        private let inFlight: Gauge
        private let faultCounter: Counter
        private var faultsSeen: UInt64 = 0

        /// Makes the metrics of one channel.
        ///
        /// - Parameters:
        ///   - name: of the channel: the dimension `channel`.
        ///   - factory: nil for the process's own (`MetricsSystem`).
        public init(_ name: String, factory: (any MetricsFactory)? = nil) {
            let factory = factory ?? MetricsSystem.factory
            let dimensions = [("channel", name)]
            statuses = Self.endings.map { status in
                Counter(label: "dma_transactions", dimensions: dimensions + [("status", "\(status)")], factory: factory)
            }
            bytes = Counter(label: "dma_bytes", dimensions: dimensions, factory: factory)
            latency = Timer(label: "dma_latency", dimensions: dimensions, preferredDisplayUnit: .microseconds, factory: factory)
            inFlight = Gauge(label: "dma_in_flight", dimensions: dimensions, factory: factory)
            faultCounter = Counter(label: "dma_engine_faults", dimensions: dimensions, factory: factory)
        }

        /// Records a transaction that has ended.
        ///
        /// - Parameters:
        ///   - finished: as returned by the channel.
        ///   - count: its length in bytes; its residue is subtracted.
        ///   - submitted: the submission time; nil leaves the timer out.
        public func note<C: Cargo & ~Copyable>(_ finished: borrowing Finished<C>, count: UInt64, submitted: Deadline? = nil) {
            if let place = Self.endings.firstIndex(of: finished.status) { statuses[place].increment() }
            bytes.increment(by: Int64(clamping: count - min(finished.residue, count)))
            if let submitted {
                latency.recordNanoseconds(max(Deadline.now.nanoseconds - submitted.nanoseconds, 0))
            }
        }

        /// Records the number in flight, and the engine's faults since the last call.
        public mutating func look<E: Engine & ~Copyable, C: Cargo & ~Copyable>(at channel: borrowing Channel<E, C>) {
            inFlight.record(channel.inFlight)
            let faults = channel.faults.total
            if faults > faultsSeen { faultCounter.increment(by: Int64(clamping: faults - faultsSeen)) }
            faultsSeen = faults
        }
    }
#endif
