// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// Checks an engine against the contract: each rule that concerns engines and channels, and each operation of its capabilities,
/// with random sizes, offsets and orders from a seed, verifying every byte.
///
/// It prints nothing and returns a ``ConformanceReport``. A run is bounded: by `iterations` for each check, by `duration` for
/// all of them, and each wait by `patience`.
public struct ConformanceSuite: Sendable {
    /// The seed of all random choices.
    public let seed: UInt64
    /// The number of iterations of each repeated check; at least 1.
    public let iterations: Int
    /// The maximum size of a transfer. Bytes, at least 64.
    public let maximumBytes: Int
    /// The domain for which the engine's memory is mapped.
    public let domain: Domain
    /// Whether the engine is scripted by a test: passed checks are then marked so.
    public let isScripted: Bool
    /// The time limit of all checks together, in nanoseconds. Checks that do not begin in time are reported as not run.
    public let duration: Int64
    /// The time limit of each wait, in nanoseconds; exceeding it is a failure.
    public let patience: Int64
    /// The checks to run; nil for all.
    public let only: Set<ConformanceCheck>?
    /// The data parameters that are fixed instead of random.
    public var choice = DataChoice()
    /// Ends the run early. It is checked before each check, and between the iterations of one: a check that it kept from
    /// starting or finishing is reported as not run, with that reason, or as failed where a failure was found before. No
    /// transfer is interrupted.
    package var stop: StopRequest?

    /// - Parameters: as the properties; numbers out of range are clamped.
    public init(
        seed: UInt64, iterations: Int = 20, maximumBytes: Int = 65_536, domain: Domain, isScripted: Bool = false,
        duration: Int64 = 60_000_000_000, patience: Int64 = 10_000_000_000, only: Set<ConformanceCheck>? = nil
    ) {
        self.seed = seed
        self.iterations = max(iterations, 1)
        self.maximumBytes = min(max(maximumBytes, 64), 1 << 30)
        self.domain = domain
        self.isScripted = isScripted
        self.duration = max(duration, 0)
        self.patience = max(patience, 1_000_000)
        self.only = only
    }

    /// Runs the checks, one after the other.
    ///
    /// - Parameters:
    ///   - name: of the engine, for the report.
    ///   - makeEngine: makes a new engine; called many times, also on other tasks. At most one engine exists at a time.
    ///   - provisions: facts and functions that only the engine's author can provide.
    ///   - announce: called before each check, so that a crash can be attributed to it.
    ///   - progress: called after each check with its row.
    /// - Returns: the rows in the order in which the checks ran. The simplest transfer comes first: where it fails, all other
    ///   checks would fail for that reason, and are not run. The rest follow in the order of ``ConformanceCheck``.
    public func run<E: Engine & ~Copyable & SendableMetatype>(
        _ name: String, makeEngine: @escaping @Sendable () throws(DMAError) -> E,
        provisions: ConformanceProvisions<E> = ConformanceProvisions(), announce: ((ConformanceCheck) -> Void)? = nil,
        progress: ((ConformanceReport.Row) -> Void)? = nil
    ) async -> ConformanceReport {
        let began = Deadline.now.nanoseconds
        let (end, overflow) = began.addingReportingOverflow(duration)
        let bench = SuiteRun(self, end: overflow ? .max : end, make: makeEngine, provisions: provisions)
        let implementation = bench.survey()
        var rows: [ConformanceReport.Row] = []
        let first = bench.foundation
        let order = (first.map { [$0] } ?? []) + ConformanceCheck.allCases.filter { $0 != first }
        for check in order where only?.contains(check) ?? true {
            announce?(check)
            let row = await bench.perform(check)
            // Most checks poll without pausing: between them, other tasks can run.
            await Task.yield()
            rows.append(row)
            progress?(row)
        }
        return ConformanceReport(
            engine: name, implementation: implementation, isScripted: isScripted, seed: seed, iterations: iterations,
            maximumBytes: maximumBytes, rows: rows, failures: bench.failures, furtherFailures: bench.furtherFailures)
    }
}
