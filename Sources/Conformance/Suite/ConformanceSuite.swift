// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// Checks an engine against the contract: each rule that concerns engines and channels, and each operation its capabilities
/// name, with
/// random sizes, offsets and orders from a seed, every byte verified.
///
/// Nothing is printed; the answer is a ``ConformanceReport``. A run is bounded: by `iterations` for each check, by `duration`
/// for all of
/// them, and each wait by `patience`.
public struct ConformanceSuite: Sendable {
    /// What all that is random follows from.
    public let seed: UInt64
    /// Of each check that repeats; at least 1.
    public let iterations: Int
    /// The largest transfer. Bytes, at least 64.
    public let maximumBytes: Int
    /// What the engine's memory is mapped for.
    public let domain: Domain
    /// Whether the engine is a test's script: then what passes is marked so.
    public let isScripted: Bool
    /// Nanoseconds for all checks together. Checks that do not begin in time are reported as not run.
    public let duration: Int64
    /// Nanoseconds to wait for what must happen, before it counts as a failure.
    public let patience: Int64
    /// The checks to do; nil for all.
    public let only: Set<ConformanceCheck>?
    /// What of the data is chosen and not left to chance.
    public var choice = DataChoice()
    /// Ends the run early. It is looked at before each check, and in a check between its iterations: what it kept from beginning, or from
    /// its end, is not run, with that reason, and has failed only where something was wrong before. No transfer is cut short.
    package var stop: StopRequest?

    /// - Parameters: as the properties; numbers out of range are brought to the nearest bound.
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
    ///   - provisions: what only the engine's maker knows.
    ///   - announce: called before each check, so that whoever is told knows which one a crash was in.
    ///   - progress: called after each check with its row.
    /// - Returns: the rows in the order in which the checks ran. The plainest transfer is the first: where it is wrong, that is why
    ///   everything else would be, and the others are not run. The rest follow in the order of ``ConformanceCheck``.
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
            // Most checks poll without a pause: between them, other tasks have a turn.
            await Task.yield()
            rows.append(row)
            progress?(row)
        }
        return ConformanceReport(
            engine: name, implementation: implementation, isScripted: isScripted, seed: seed, iterations: iterations,
            maximumBytes: maximumBytes, rows: rows, failures: bench.failures, furtherFailures: bench.furtherFailures)
    }
}
