// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAReport
import FoundationEssentials

extension FuzzEntry {
    static let benchParsers = [
        FuzzEntry(parser: "bench-configuration", benchConfiguration),
        FuzzEntry(parser: "bench-result", length: 16_384, benchResult),
    ]

    private static func benchConfiguration(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(ConfigurationError) {
            let plan = try BenchConfiguration.plan(text, file: "plan")
            guard plan.mostPoints <= BenchPlan.pointLimit else { return "a plan of \(plan.mostPoints) points" }
            for one in plan.cases where plan.mostPoints < 1000 { _ = one.points(["cpu", "io_uring"]).count }
            return nil
        } catch {
            guard error.line >= 1, error.column >= 0, !error.description.isEmpty else { return "an error without a place" }
            return nil
        }
    }

    /// Every accepted result can be shown in every form and compared.
    private static func benchResult(_ bytes: [UInt8]) -> String? {
        guard let result = try? JSONDecoder().decode(BenchResult.self, from: Data(bytes)), result.implausibility == nil else {
            return nil
        }
        let comparison = Comparison(result, since: result)
        let page = HTMLReport(result, comparison: comparison).text
        return result.csv.isEmpty || page.isEmpty ? "a result that is shown as nothing" : nil
    }
}
