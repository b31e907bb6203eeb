// SPDX-License-Identifier: Apache-2.0

internal import DMABench
internal import DMAUnits

/// Rows that belong into one chart: of one case and one operation, at most as many lines as there are styles; with them memcpy's,
/// or, where files are moved, those of pread or pwrite.
struct RowGroup {
    /// What all rows have in common, in words.
    let heading: String
    let rows: [BenchRow]
    /// Lines: rows that differ by their size alone.
    let lines: [(label: String, rows: [BenchRow])]

    var sizes: [Int] { Set(rows.map(\.point.bytes)).sorted() }

    /// The groups of a result, in its order.
    static func groups(_ result: BenchResult) -> [RowGroup] {
        var groups: [RowGroup] = []
        for sweep in ordered(result.rows, by: \.name) {
            let memcpy = sweep.filter(\.point.isMemcpy)
            let others = sweep.filter { !$0.point.isMemcpy }
            guard !others.isEmpty else {
                groups.append(RowGroup(memcpy))
                continue
            }
            for operation in ordered(others, by: \.point.operation) {
                let engines = operation.filter { !$0.point.isBaseline }
                let calls = operation.filter(\.point.isSystemCall)
                groups +=
                    engines.isEmpty
                    ? [RowGroup(calls)] : split(engines, calls.isEmpty ? memcpy : calls, [\.point.threads, \.point.depth])
            }
        }
        return groups
    }

    /// Splits by threads, then by depth, until the lines are few enough.
    private static func split(
        _ rows: [BenchRow], _ baselines: [BenchRow], _ keys: [KeyPath<BenchRow, Int>]
    ) -> [RowGroup] {
        let own = baselines.filter { candidate in
            rows.contains { $0.point.besideMemcpy == candidate.point || $0.point.besideSystemCall == candidate.point }
        }
        let group = RowGroup(own + rows)
        guard group.lines.count > Series.styles, let key = keys.first else { return [group] }
        return ordered(rows, by: key).flatMap { split($0, baselines, Array(keys.dropFirst())) }
    }

    /// Rows with the same value together, in the order in which the values come.
    private static func ordered<Key: Hashable>(_ rows: [BenchRow], by key: KeyPath<BenchRow, Key>) -> [[BenchRow]] {
        var order: [Key] = []
        var groups: [Key: [BenchRow]] = [:]
        for row in rows {
            if groups[row[keyPath: key]] == nil { order.append(row[keyPath: key]) }
            groups[row[keyPath: key], default: []].append(row)
        }
        return order.compactMap { groups[$0] }
    }

    private init(_ rows: [BenchRow]) {
        self.rows = rows
        let engines = rows.filter { !$0.point.isBaseline }
        let seen = engines.isEmpty ? rows : engines
        func differs<Value: Hashable>(_ value: (BenchPoint) -> Value) -> Bool { Set(seen.map { value($0.point) }).count > 1 }
        let (depth, threads) = (differs(\.depth), differs(\.threads))
        let (mode, wait, conditions) = (differs(\.mode), differs(\.wait), differs(\.conditions))
        func label(_ point: BenchPoint) -> String {
            var words = [point.engine]
            if depth { words.append("\(point.depth) in flight") }
            if threads { words.append(point.threads == 1 ? "1 thread" : "\(point.threads) threads") }
            if mode && !point.isBaseline { words.append(point.mode.words) }
            if wait && !point.isBaseline { words.append(point.wait.words) }
            if conditions { words += point.conditions }
            return words.joined(separator: ", ")
        }
        var order: [String] = []
        var lines: [String: [BenchRow]] = [:]
        for row in rows {
            let label = label(row.point)
            if lines[label] == nil { order.append(label) }
            lines[label, default: []].append(row)
        }
        self.lines = order.map { label in (label, (lines[label] ?? []).sorted { $0.point.bytes < $1.point.bytes }) }
        var words: [String] = []
        if let point = seen.first?.point {
            words.append(point.operation.rawValue)
            if !depth { words.append("\(point.depth) in flight") }
            if !threads { words.append(point.threads == 1 ? "1 thread" : "\(point.threads) threads") }
            if !mode && point.mode != .burst { words.append(point.mode.words) }
            if !wait { words.append(point.wait.words) }
            if !conditions { words += point.conditions }
            if sizesOf(rows).count == 1 { words.append(ByteSize.exact(point.bytes)) }
        }
        heading = words.joined(separator: ", ")
    }
}

private func sizesOf(_ rows: [BenchRow]) -> Set<Int> { Set(rows.map(\.point.bytes)) }

extension BenchMode {
    var words: String {
        switch self {
        case .burst: "burst"
        case .cycleStealing(let share):
            "cycle-stealing \(Quantity.percent(share, share * 100 == (share * 100).rounded() ? 0 : 1))"
        case .demand: "demand"
        }
    }
}

extension CompletionWait {
    var words: String {
        switch self {
        case .poll: "polling"
        case .wait: "waiting"
        case .await: "awaiting"
        }
    }
}
