// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import Foundation
import ScriptedEngines
import Testing

/// The contents of a report.
@Suite("Conformance reports")
struct ReportTests {
    private func run(
        _ only: Set<ConformanceCheck>?, isScripted: Bool = true, duration: Int64 = 60_000_000_000,
        makeEngine: @escaping @Sendable () throws(DMAError) -> QueuePairEngine = { () throws(DMAError) in QueuePairEngine() }
    ) async -> ConformanceReport {
        let suite = ConformanceSuite(
            seed: 3, iterations: 3, maximumBytes: 4096, domain: Domain(name: "reports"), isScripted: isScripted,
            duration: duration,
            only: only)
        return await suite.run("engine", makeEngine: makeEngine)
    }

    @Test("there is a row for each of the 39 rules and the operations")
    func rows() {
        #expect(ConformanceCheck.allCases.compactMap(\.rule) == Array(1...39))
        #expect(ConformanceCheck.allCases.compactMap(\.operation).count == OperationKind.allCases.count)
    }

    @Test("when the time is over nothing passes and nothing fails")
    func duration() async {
        let report = await run(nil, duration: 0)
        #expect(report.counts.notRun == ConformanceCheck.allCases.count)
        #expect(report.counts.passed == 0 && report.failures.isEmpty)
    }

    @Test("an engine that cannot be made fails, with the reason")
    func noEngine() async {
        let report = await run([.copy, .rule05]) { () throws(DMAError) in throw DMAError(.noSuchChannel) }
        #expect(report.counts.failed == 2)
        #expect(report.failures.first?.message.contains("noSuchChannel") == true)
    }

    @Test("a report survives JSON, and its table marks rows that only scripted engines passed")
    func json() async throws {
        let scripted = await run([.copy, .cyclic])
        let real = await run([.copy, .cyclic], isScripted: false)
        let decoded = try JSONDecoder().decode(ConformanceReport.self, from: JSONEncoder().encode(scripted))
        #expect(decoded == scripted)
        #expect(scripted.table.contains("passed (scripted only)"))
        #expect(!real.table.contains("scripted only"))
        #expect(scripted.table.contains("not applicable"))
        let alone = ConformanceSummary([scripted])
        #expect(alone.rows.first { $0.check == .copy }?.isScriptedOnly == true)
        let both = ConformanceSummary([scripted, real])
        #expect(both.rows.first { $0.check == .copy }?.isScriptedOnly == false)
        #expect(both.rows.first { $0.check == .cyclic }?.isScriptedOnly == false)
    }

    @Test("a check is announced before it runs and reported when it has ended, the simplest transfer first")
    func progress() async {
        var seen: [String] = []
        let suite = ConformanceSuite(
            seed: 3, iterations: 2, maximumBytes: 512, domain: Domain(name: "progress"), isScripted: true,
            only: [.copy, .rule05])
        let report = await suite.run(
            "engine", makeEngine: { () throws(DMAError) in QueuePairEngine() },
            announce: { seen.append("begins \($0)") }, progress: { seen.append("ends \($0.check)") })
        #expect(report.rows.map(\.check) == [.copy, .rule05])
        #expect(seen == ["begins copy", "ends copy", "begins rule05", "ends rule05"])
    }
}
