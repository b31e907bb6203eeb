// SPDX-License-Identifier: Apache-2.0

package import DMA
internal import DMACPUEngine
package import DMAConformance
package import DMACore

/// The self-test: every engine of this machine, every operation it has, every byte verified, with throughput, latency and
/// processor time.
package struct SelfTest: Sendable {
    /// The seed of all random numbers, which reproduces a run.
    package var seed: UInt64
    /// Iterations of each check of the contract.
    package var iterations = 20
    /// The maximum size of a transfer in the contract's checks, and the size of each in the tables. Bytes.
    package var bytes = 65_536
    /// Transactions in flight while throughput is measured.
    package var depth = 32
    /// Nanoseconds for each operation's measurement.
    package var duration: Int64 = 1_000_000_000
    /// Engines by name; nil for all.
    package var engines: Set<String>?
    /// Operations; nil for all. With some, the contract's other rules are left out.
    package var operations: Set<OperationKind>?
    /// The data parameters that are fixed instead of random.
    package var choice = DataChoice()
    /// The number of an engine's channels that work at the same time while throughput is measured; an engine with fewer uses
    /// all of them.
    package var channels = 1
    /// Which of an engine's channels is opened, from 0; nil for all in turn.
    package var channel: Int?
    /// The time limit for a completion, in nanoseconds; exceeding it is a failure. It bounds every wait of a test.
    package var patience: Int64 = 10_000_000_000
    /// Nanoseconds for the contract's checks of one engine.
    package var contractDuration: Int64 = 60_000_000_000
    /// Whether faults are injected between the engines and their channels.
    package var injectsFaults = false
    /// Ends the test early: between two checks, iterations, rows or rounds, never in a transfer. The report has the results so
    /// far, and ``Report/stopped`` lists the engines that were not completely tested.
    package var stop: StopRequest?

    package init(seed: UInt64) { self.seed = seed }

    /// The result.
    package struct Report: Sendable, Codable {
        package var seed: UInt64
        package var speeds: [Survey.Row] = []
        package var modes: [ModeRow] = []
        package var streams: [StreamRow] = []
        package var contracts: [ConformanceReport] = []
        package var faults: [FaultRow] = []
        /// Engines that could not be tested, or not completely. A test with one has failed.
        package var stops: [Stop] = []
        /// The implementation of each tested engine; nil in reports of earlier versions.
        package var engines: [Ran]?
        /// Devices that were tested although no IOMMU isolates them; nil where there is none.
        package var waivers: [Waiver]?
        /// The parts that a requested stop left untested; nil for a complete test. A test with it has neither failed nor
        /// passed.
        package var stopped: EarlyStop?

        /// Why the test of an engine ended early.
        package struct Stop: Hashable, Sendable, Codable {
            package let engine: String
            package let reason: String
            /// Whether the test itself could not be run: nothing was found out about the engine. Nil for false.
            package var isUntried: Bool?

            package init(engine: String, reason: String, isUntried: Bool? = nil) {
                self.engine = engine
                self.reason = reason
                self.isUntried = isUntried
            }

            /// The outcome of the engine's test, with the reason.
            package var sentence: String {
                (isUntried ?? false ? "could not be tried: " : "not tested to the end: ") + reason
            }
        }

        /// The implementation that an engine used.
        package struct Ran: Hashable, Sendable, Codable {
            package let engine: String
            package let implementation: String
            /// Why the engine does not use its best implementation, and the cure; nil where it does.
            package var fallback: EngineAbsence?

            package init(engine: String, implementation: String, fallback: EngineAbsence? = nil) {
                self.engine = engine
                self.implementation = implementation
                self.fallback = fallback
            }
        }

        /// Why the device of an engine could be tested without an IOMMU.
        package struct Waiver: Hashable, Sendable, Codable {
            package let engine: String
            package let sentence: String
        }

        /// The progress of a test when it was stopped.
        package struct EarlyStop: Hashable, Sendable, Codable {
            /// The engines that were not tested, or not completely, in the order of the test.
            package let engines: [String]
        }

        /// Whether nothing was tested: no engine has a requested operation.
        package var isEmpty: Bool {
            stopped == nil && speeds.isEmpty && modes.isEmpty && streams.isEmpty && faults.isEmpty && stops.isEmpty
                && contracts.allSatisfy { $0.counts.notApplicable == $0.rows.count }
        }

        /// Whether everything requested was tested, and nothing was wrong.
        package var passed: Bool { stopped == nil && !hasFailed }

        /// Whether something was wrong, in the part that was tested.
        package var hasFailed: Bool {
            !(stops.isEmpty && speeds.allSatisfy(\.passed) && modes.allSatisfy(\.passed) && streams.allSatisfy(\.passed)
                && contracts.allSatisfy(\.passed) && faults.allSatisfy(\.passed))
        }
        /// Bytes that were compared with their expected values.
        package var bytesVerified: UInt64 {
            speeds.reduce(0) { $0 + $1.bytesVerified } + modes.reduce(0) { $0 + $1.bytesVerified }
                + streams.reduce(0) { $0 + $1.bytesVerified }
                + contracts.reduce(0) { $0 + $1.rows.reduce(0) { $0 + $1.bytesVerified } }
                + faults.reduce(0) { $0 + $1.bytesVerified }
        }
    }

    /// A step that has just ended or, for a check of the contract, that begins now.
    package enum Step: Sendable {
        /// Reported before the check runs, so that a crash can be attributed to it.
        case starting(engine: String, ConformanceCheck)
        case contract(engine: String, ConformanceReport.Row)
        case speed(Survey.Row)
        case mode(ModeRow)
        case stream(StreamRow)
        case fault(FaultRow)
    }

    /// Runs everything, one engine after the other. An engine that does not start, or gives up, is listed in ``Report/stops``,
    /// and the others are still tested.
    ///
    /// - Throws: `noSuchChannel` where no engine has a requested name.
    package func run(on system: DMASystem, progress: ((Step) -> Void)? = nil) async throws(DMAError) -> Report {
        var report = Report(seed: seed)
        var isKnown = false
        var unfinished: [String] = []
        for listing in system.engines where listing.offer.absence == nil && engines?.contains(listing.offer.name) ?? true {
            isKnown = true
            // An engine that is stopped in its last step counts as not completely tested.
            defer { if stop.isStopped { unfinished.append(listing.offer.name) } }
            guard !stop.isStopped else { continue }
            let offer = listing.offer
            report.engines =
                (report.engines ?? []) + [
                    Report.Ran(engine: offer.name, implementation: offer.capabilities.implementation, fallback: offer.fallback)
                ]
            if let waiver = listing.waiver {
                report.waivers = (report.waivers ?? []) + [Report.Waiver(engine: listing.offer.name, sentence: waiver)]
            }
            do throws(DMAError) {
                if let provider = listing.provider as? any SelfTestedProvider {
                    try await provider.run(self, listing.offer.name, &report, progress)
                } else {
                    try await run(listing, system, &report, progress)
                }
                if injectsFaults { try injectFaults(listing, system, &report, progress) }
            } catch {
                report.stops.append(Report.Stop(engine: listing.offer.name, reason: "\(error)"))
            }
        }
        guard isKnown else { throw DMAError(.noSuchChannel) }
        if !unfinished.isEmpty { report.stopped = Report.EarlyStop(engines: unfinished) }
        return report
    }
}

/// A provider with its own self-test: the far side of its peripherals, and its rows.
protocol SelfTestedProvider: EngineProvider {
    /// Tests the engine `name`, and adds to the report.
    func run(
        _ test: SelfTest, _ name: String, _ report: inout SelfTest.Report, _ progress: ((SelfTest.Step) -> Void)?
    ) async throws(DMAError)
}

extension CPUProvider: SelfTestedProvider {
    func run(
        _ test: SelfTest, _ name: String, _ report: inout SelfTest.Report, _ progress: ((SelfTest.Step) -> Void)?
    ) async throws(DMAError) {
        let operations = test.operations
        let peripherals = try CPUProvisions.peripherals()
        var configuration = configuration(name)
        configuration.peripherals = peripherals
        let complete = configuration
        let domain = Domain(name: name)
        let suite = test.suite(domain)
        let make: @Sendable () throws(DMAError) -> CPUEngine = { () throws(DMAError) in try CPUEngine(complete) }
        if test.choice.verifies {
            report.contracts.append(
                await suite.run(
                    name, makeEngine: make, provisions: CPUProvisions.provisions(peripherals),
                    announce: { progress?(.starting(engine: name, $0)) },
                    progress: { progress?(.contract(engine: name, $0)) }))
        }
        report.speeds += await test.survey(domain).run(name, kinds: operations, makeEngine: make) { progress?(.speed($0)) }
        guard !test.stop.isStopped else { return }
        // A ring has no throughput of its own: only its bytes are tested.
        if test.choice.verifies, operations?.contains(.cyclic) ?? true {
            let small = try FIFOPeripheral(depth: 512, width: 4)
            let ringConfiguration = {
                var configuration = complete
                configuration.peripherals = [small]
                return configuration
            }()
            let makeRing = { () throws(DMAError) in try CPUEngine(ringConfiguration) }
            for row in [
                try StreamRow.capture(name, small, domain, test.patience, makeRing),
                try StreamRow.playback(name, small, domain, test.patience, makeRing),
            ] {
                report.streams.append(row)
                progress?(.stream(row))
            }
        }
        guard operations?.contains(.copy) ?? true else { return }
        for share in [1.0, 0.5, 0.25] where !test.stop.isStopped {
            let row = try ModeRow.measure(name, share: share, test, domain, make)
            report.modes.append(row)
            progress?(.mode(row))
        }
    }
}
