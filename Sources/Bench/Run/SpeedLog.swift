// SPDX-License-Identifier: Apache-2.0

/// How many transactions were finished in each interval of a measurement, counted by the lane that finished them.
struct SpeedLog: Sendable {
    /// Nanoseconds of CLOCK_MONOTONIC at which the first interval begins.
    let began: Int64
    /// Nanoseconds.
    let interval: Int64
    /// One an interval. Intervals behind the last that finished something are not there.
    private(set) var counts: [Int]
    private var noted = 0

    /// - Parameters:
    ///   - seconds: of an interval.
    ///   - nanoseconds: that the measurement is to take: room for so much is made at once.
    init(seconds: Double, began: Int64, nanoseconds: Int64) {
        self.began = began
        interval = max(Int64(seconds * 1e9), 1)
        counts = []
        counts.reserveCapacity(Int(nanoseconds / interval) + 2)
    }

    /// Counts what was finished since the last call.
    ///
    /// - Parameter operations: finished since ``began``.
    mutating func note(_ now: Int64, _ operations: Int) {
        guard operations > noted else { return }
        let place = Int(max(now - began, 0) / interval)
        while counts.count <= place { counts.append(0) }
        counts[place] += operations - noted
        noted = operations
    }

    /// Bytes a second in each interval, of all lanes together.
    ///
    /// - Parameter end: when the measurement was over, in the middle of its last interval. What remains shorter than half an interval is added to
    ///   the one before.
    static func speeds(_ logs: [SpeedLog], bytes: Int, end: Int64) -> [Double] {
        guard let first = logs.first, end > first.began else { return [] }
        let elapsed = end - first.began
        let whole = max(Int((elapsed + first.interval / 2) / first.interval), 1)
        var counts = [Int](repeating: 0, count: whole)
        for log in logs {
            for (place, count) in log.counts.enumerated() { counts[min(place, whole - 1)] += count }
        }
        return counts.enumerated().map { place, count in
            let width = place < whole - 1 ? first.interval : elapsed - Int64(whole - 1) * first.interval
            return Double(count) * Double(bytes) * 1e9 / Double(width)
        }
    }
}
