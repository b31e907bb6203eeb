// SPDX-License-Identifier: Apache-2.0

public import DMAConformance
internal import DMADriverKit
public import ProcessMemoryEngine

/// The contract's checks on this engine, for the tests and for the command line.
public enum Contract {
    // snippet: engine-contract
    /// Runs every rule that applies.
    public static func report(_ call: ProcessMemorySettings.Call, seed: UInt64) async -> ConformanceReport {
        let suite = ConformanceSuite(
            seed: seed, iterations: 8, maximumBytes: 1 << 18, domain: Domain(name: "process-memory"), patience: 30_000_000_000)
        // The smallest quantum, so that the suite's transfers take many calls.
        let settings = ProcessMemorySettings(call: call, quantum: ProcessMemorySettings.quanta.lowerBound)
        var provisions = ConformanceProvisions<ProcessMemoryEngine>()
        provisions.failNext = { engine, status in engine.misdirectNext(status) }
        provisions.failures = [.readFailed, .writeFailed]
        return await suite.run(
            "process-memory", makeEngine: { () throws(DMAError) in try ProcessMemoryEngine(depth: 16, settings: settings) },
            provisions: provisions)
    }
    // end
}
