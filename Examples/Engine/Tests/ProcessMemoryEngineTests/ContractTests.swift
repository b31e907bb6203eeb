// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import ProcessMemoryContract
import ProcessMemoryEngine
import Testing

/// Every rule that applies to the engine holds, by either system call.
@Suite("The contract", .serialized)
struct ContractTests {
    /// The engine's main features; a check that does not apply to it cannot count as passed.
    private let mustPass: Set<ConformanceCheck> = [
        .rule01, .rule03, .rule05, .rule06, .rule07, .rule09, .rule10, .rule13, .rule16, .rule17, .rule18, .rule19, .rule20,
        .rule26, .copy, .scatterGather, .null, .batches, .cancellation, .erased,
    ]

    @Test("holds", arguments: ProcessMemorySettings.Call.allCases, [1, UInt64.random(in: 2 ... .max)])
    func holds(call: ProcessMemorySettings.Call, seed: UInt64) async {
        let report = await Contract.report(call, seed: seed)
        #expect(report.passed, "\(report.table)")
        #expect(report.counts.notRun == 0, "\(report.table)")
        for check in mustPass { #expect(report.row(check)?.outcome == .passed, "\(check)\n\(report.table)") }
    }
}
