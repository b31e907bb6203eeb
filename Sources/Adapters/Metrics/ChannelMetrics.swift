// SPDX-License-Identifier: Apache-2.0

#if Metrics
    public import CoreMetrics
    public import DMACore
    public import DMAEngineKit

    /// What a channel does, for whatever backend the program has given swift-metrics.
    ///
    /// | label | kind | what |
    /// |---|---|---|
    /// | `dma_transactions` | counter | transactions over, by the dimension `status`: complete, failed, aborted … |
    /// | `dma_bytes` | counter | bytes moved, also of those that failed half way |
    /// | `dma_latency` | timer | from submission to completion, where the client says when it submitted |
    /// | `dma_in_flight` | gauge | transactions submitted and not yet taken |
    /// | `dma_engine_faults` | counter | what no honest engine does |
    ///
    /// Every label has the dimension `channel`. Keep one value beside each channel; one thread at a time uses it. The hot path of a channel
    /// is not touched: nothing is recorded but what the client notes.
    public struct ChannelMetrics: Sendable {
        /// What a transaction can end as; each has a counter.
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

        /// Notes a transaction that is over.
        ///
        /// - Parameters:
        ///   - finished: as the channel handed it out.
        ///   - count: bytes that it was to move; its residue is taken off.
        ///   - submitted: when the client submitted it; nil leaves the timer out.
        public func note<C: Cargo & ~Copyable>(_ finished: borrowing Finished<C>, count: UInt64, submitted: Deadline? = nil) {
            if let place = Self.endings.firstIndex(of: finished.status) { statuses[place].increment() }
            bytes.increment(by: Int64(clamping: count - min(finished.residue, count)))
            if let submitted {
                latency.recordNanoseconds(max(Deadline.now.nanoseconds - submitted.nanoseconds, 0))
            }
        }

        /// Notes how the channel stands: what is in flight, and what its engine did wrong since the last look.
        public mutating func look<E: Engine & ~Copyable, C: Cargo & ~Copyable>(at channel: borrowing Channel<E, C>) {
            inFlight.record(channel.inFlight)
            let faults = channel.faults.total
            if faults > faultsSeen { faultCounter.increment(by: Int64(clamping: faults - faultsSeen)) }
            faultsSeen = faults
        }
    }
#endif
