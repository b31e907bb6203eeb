// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAUnits

/// How many times as fast the fastest of some rows is as each other one, as hyperfine says it.
enum BenchSummary {
    /// Groups beyond which a summary is longer than the table above it.
    private static let most = 8

    /// A sentence where two rows differ by their engine, or by one other thing; for more, a block for each size. Empty where there is nothing to
    /// compare.
    static func lines(_ rows: [BenchRow]) -> [String] {
        let groups = groups(rows.filter { !$0.bytesPerSecond.isEmpty && !$0.hasFailed && $0.point.rate == nil })
        guard groups.count <= most else { return [] }
        return groups.flatMap { group -> [String] in
            if rows.count == 2 { return duel(group).map { [Terminal.wrapped($0)] } ?? [] }
            return block(group)
        }
    }

    /// Rows of the same work: the same operation on as many bytes.
    private static func groups(_ rows: [BenchRow]) -> [[BenchRow]] {
        var order: [String] = []
        var groups: [String: [BenchRow]] = [:]
        for row in rows {
            let work = "\(row.point.bytes) \(row.point.threads) \(row.point.operation.rawValue)"
            if groups[work] == nil { order.append(work) }
            groups[work, default: []].append(row)
        }
        return order.compactMap { groups[$0] }.filter { $0.count > 1 }
    }

    private static func duel(_ rows: [BenchRow]) -> String? {
        guard rows.count == 2 else { return nil }
        let (one, other) = rows[0].point.isBaseline ? (rows[1], rows[0]) : (rows[0], rows[1])
        return SpeedRatio(one.bytesPerSecond, other.bytesPerSecond)?
            .sentence(called(one, in: rows), than: called(other, in: rows), Figures.decimal)
    }

    private static func block(_ rows: [BenchRow]) -> [String] {
        guard let fastest = rows.max(by: { $0.speed < $1.speed }) else { return [] }
        let others = rows.filter { $0.point != fastest.point }.sorted { $0.speed > $1.speed }
        let lines = others.compactMap { other in
            SpeedRatio(fastest.bytesPerSecond, other.bytesPerSecond).map { ratio in
                ratio.isTold
                    ? "  \(ratio.times(Figures.decimal)) times faster than \(called(other, in: rows))"
                    : "  as fast as \(called(other, in: rows)), as far as these repeats tell"
            }
        }
        guard !lines.isEmpty else { return [] }
        return ["\(ByteSize.exact(fastest.point.bytes)): \(called(fastest, in: rows)) ran"] + lines
    }

    /// The engine's name, and more of the point where several rows have that engine.
    private static func called(_ row: BenchRow, in rows: [BenchRow]) -> String {
        rows.filter { $0.point.engine == row.point.engine }.count > 1 ? BenchTables.name(row.point) : row.point.engine
    }
}
