// SPDX-License-Identifier: Apache-2.0

#if ServiceLifecycle
    public import DMACore
    public import DMAEngineKit
    public import ServiceLifecycle

    /// A channel as a service of swift-service-lifecycle: it works until the process is asked to stop, finishes the
    /// transactions in flight, and ends the channel in order, so that no device writes to memory of a process that is exiting.
    ///
    /// The channel lives in the service's task: it is made there, and used only there.
    public struct ChannelService<E: Engine & ~Copyable & SendableMetatype, C: Cargo & ~Copyable & SendableMetatype>: Service {
        /// Makes the channel.
        public typealias Open = @Sendable () throws(DMAError) -> Channel<E, C>
        /// Does one round of the client's work: submits, issues, takes finished transactions. False ends the service.
        public typealias Turn = @Sendable (_ channel: inout Channel<E, C>) async throws -> Bool
        /// Receives transactions that were in flight when the service stopped: complete, or aborted where they did not end in
        /// time.
        public typealias Rest = @Sendable (_ finished: consuming Finished<C>) -> Void

        private let open: Open
        private let turn: Turn
        private let rest: Rest
        private let patience: Int64

        /// - Parameters:
        ///   - patience: nanoseconds that transactions in flight have to complete, and then again that the engine has to stop.
        ///   - open: called once, when the service starts.
        ///   - turn: called again and again until a graceful shutdown or a cancellation. It should not wait long: between turns the service sees
        ///     that it is to stop.
        ///   - rest: called for each transaction that was in flight at the end; without it, its cargo ends there.
        public init(
            patience: Int64 = 1_000_000_000, open: @escaping Open, turn: @escaping Turn, rest: @escaping Rest = { _ in }
        ) {
            self.patience = max(patience, 0)
            self.open = open
            self.turn = turn
            self.rest = rest
        }

        /// Runs until it is told to stop.
        ///
        /// - Throws: errors of `open` and `turn`, after the transactions in flight were returned; `quiesceTimeout` where the
        ///   engine did not stop: the memory is quarantined then.
        public func run() async throws {
            var channel = try open()
            var failure: (any Error)?
            do {
                while !Task.isShuttingDownGracefully, !Task.isCancelled {
                    guard try await turn(&channel) else { break }
                    await Task.yield()
                }
            } catch {
                failure = error
            }
            // Submitted work is issued, so that it can end; a cancelled task does not wait for it.
            channel.issuePending()
            let limit = Task.isCancelled || failure != nil ? Deadline.now : Deadline.after(nanoseconds: patience)
            while channel.inFlight > 0, Deadline.now < limit, !Task.isCancelled {
                if let finished = channel.next() { rest(finished) } else { await Task.yield() }
            }
            if channel.inFlight > 0 {
                try channel.terminateSync(by: .after(nanoseconds: max(patience, 1_000_000)))
                while let finished = channel.next() { rest(finished) }
            }
            if let failure { throw failure }
        }
    }
#endif
