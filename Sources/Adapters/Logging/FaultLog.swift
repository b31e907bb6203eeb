// SPDX-License-Identifier: Apache-2.0

#if Logging
    public import DMACore
    public import DMAEngineKit
    public import Logging

    /// Writes what an engine did that no honest one does into a log, each kind once for each look at which its count has grown.
    ///
    /// Keep one beside each channel, and ask it from time to time, as after a batch or once in a second. Looking costs eight comparisons where
    /// nothing is wrong. One thread at a time uses it, as the channel.
    public struct FaultLog: Sendable {
        private let logger: Logger
        private let level: Logger.Level
        private let name: String
        private var seen = EngineFaults()

        /// - Parameters:
        ///   - name: of the channel, for the metadata `dma.channel`.
        ///   - logger: where faults go.
        ///   - level: of a fault. The channel has coped with it; the device is to be distrusted.
        public init(_ name: String, logger: Logger, level: Logger.Level = .warning) {
            self.name = name
            self.logger = logger
            self.level = level
        }

        /// Logs what has been counted since the last look.
        ///
        /// - Returns: how many faults that were.
        @discardableResult
        public mutating func look<E: Engine & ~Copyable, C: Cargo & ~Copyable>(at channel: borrowing Channel<E, C>) -> UInt64 {
            let faults = channel.faults
            guard faults != seen else { return 0 }
            let kinds: [(String, String, KeyPath<EngineFaults, UInt64>)] = [
                ("unknownTag", "completed something that was never submitted", \.unknownTag),
                ("notInFlight", "completed something that was not in flight", \.notInFlight),
                ("outOfOrder", "completed out of order", \.outOfOrder),
                ("badResidue", "reported more left to move than there was", \.badResidue),
                ("badStatus", "reported a status that does not exist", \.badStatus),
                ("refusedEnqueue", "refused work that it has room for", \.refusedEnqueue),
                ("didNotQuiesce", "did not stop in time: memory is quarantined", \.didNotQuiesce),
                ("beforeIssue", "completed work before it was issued", \.beforeIssue),
            ]
            var sum: UInt64 = 0
            for (identifier, text, path) in kinds where faults[keyPath: path] != seen[keyPath: path] {
                let more = faults[keyPath: path] &- seen[keyPath: path]
                sum &+= more
                logger.log(
                    level: level, "the engine \(text)",
                    metadata: ["dma.channel": "\(name)", "dma.fault": "\(identifier)", "dma.count": "\(more)"])
            }
            seen = faults
            return sum
        }
    }
#endif
