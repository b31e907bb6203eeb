// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAUnits

/// Pairs as a matrix, a row for the one and a column for the other: GB/s.
enum MatrixTable {
    /// A matrix for each set of rows that differ by their pair alone.
    static func tables(of rows: [BenchRow], _ name: String) -> [(title: String, table: Table)] {
        var order: [BenchPoint] = []
        var groups: [BenchPoint: [BenchRow]] = [:]
        for row in rows {
            var key = row.point
            // The engine is what the rows of a matrix of channels are.
            if key.nodes == nil { key.engine = "" }
            (key.nodes, key.beside) = (nil, nil)
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(row)
        }
        return order.map { key in
            let rows = groups[key] ?? []
            let words = BenchTables.name(key, engine: !key.engine.isEmpty)
            return key.engine.isEmpty
                ? ("\(name): \(words): GB/s of the engine at the left, alone and beside the one above", channels(rows))
                : ("\(name): \(words): GB/s from memory of the node at the left to memory of the node above", nodes(rows))
        }
    }

    private static func nodes(_ rows: [BenchRow]) -> Table {
        let pairs = rows.compactMap(\.point.nodes)
        let (sources, destinations) = (Set(pairs.map(\.source)).sorted(), Set(pairs.map(\.destination)).sorted())
        var table = Table(["node"] + destinations.map { "to \($0)" }, leading: 1)
        for source in sources {
            table.add(
                ["\(source)"]
                    + destinations.map { destination in
                        let pair = NodePair(source: source, destination: destination)
                        return cell(rows.first { $0.point.nodes == pair })
                    })
        }
        return table
    }

    private static func channels(_ rows: [BenchRow]) -> Table {
        var engines: [String] = []
        for row in rows where !engines.contains(row.point.engine) { engines.append(row.point.engine) }
        var others: [String] = []
        for other in rows.compactMap(\.point.beside) where !others.contains(other) { others.append(other) }
        var table = Table(["engine", "alone"] + others.map { "beside \($0)" }, leading: 1)
        for engine in engines {
            table.add(
                [engine]
                    + ([nil] + others.map(Optional.some)).map { other in
                        cell(rows.first { $0.point.engine == engine && $0.point.beside == other })
                    })
        }
        return table
    }

    private static func cell(_ row: BenchRow?) -> String {
        guard let row else { return "-" }
        return row.hasFailed ? "FAILED" : Figures.rate(row.speed)
    }
}
