// SPDX-License-Identifier: Apache-2.0

#if Logging
    public import DMACore
    public import DMAEngineKit
    public import Logging

    /// Logs an engine's protocol violations: each kind once per check in which its count has increased.
    ///
    /// Keep one for each channel, and call it from time to time, for instance after a batch or once per second. Without faults
    /// a check costs eight comparisons. One thread at a time uses it, together with the channel.
    public struct FaultLog: Sendable {
        private let logger: Logger
        private let level: Logger.Level
        private let name: String
        private var seen = EngineFaults()

        /// - Parameters:
        ///   - name: of the channel, for the metadata `dma.channel`.
        ///   - logger: receives the faults.
        ///   - level: of a fault. The channel has handled it; the device should not be trusted.
        public init(_ name: String, logger: Logger, level: Logger.Level = .warning) {
            self.name = name
            self.logger = logger
            self.level = level
        }

        /// Logs the faults counted since the last check.
        ///
        /// - Returns: the number of faults.
        @discardableResult
        public mutating func look<E: Engine & ~Copyable, C: Cargo & ~Copyable>(at channel: borrowing Channel<E, C>) -> UInt64 {
            let faults = channel.faults
            guard faults != seen else { return 0 }
            let kinds: [(String, String, KeyPath<EngineFaults, UInt64>)] = [
                ("unknownTag", "completed something that was never submitted", \.unknownTag),
                ("notInFlight", "completed something that was not in flight", \.notInFlight),
                ("outOfOrder", "completed out of order", \.outOfOrder),
                ("badResidue", "reported a residue beyond the length", \.badResidue),
                ("badStatus", "reported an undefined status", \.badStatus),
                ("refusedEnqueue", "refused work within its declared depth", \.refusedEnqueue),
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
