// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The result of one measurement: medians and spread over rounds in which the contestants alternated.
struct Duel: Codable {
    var what: String
    var bytes: Int
    var unit: String
    var contestants: [String]
    /// By contestant: median, lowest and highest.
    var median: [Double]
    var lowest: [Double]
    var highest: [Double]
    /// Median, over the rounds, of the first contestant's result divided by each contestant's: above 1 the first is faster.
    var ratio: [Double]
    var note: String
}

/// Prints unbuffered, so that a reader of a pipe sees the progress of a long run.
func say(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8)) }

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return .nan }
    return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
}

/// Runs the contestants alternately, A B A B, and compares their speeds.
///
/// - Parameters:
///   - bytes: that one operation counts for.
///   - run: runs that many operations with contestant `index`, and returns their time in nanoseconds; negative where it cannot.
func duel(
    _ what: String, bytes: Int, _ names: [String], rounds: Int = 15, note: String = "",
    run: (_ index: Int, _ operations: Int) -> Int64
) -> Duel {
    // As many operations as take about 12 ms.
    let counts = names.indices.map { index in
        var operations = 32
        while operations < 1 << 24 {
            let time = run(index, operations)
            if time < 0 || time > 3_000_000 { return time < 0 ? 0 : max(operations * 12_000_000 / Int(time), 1) }
            operations *= 2
        }
        return operations
    }
    var speeds = names.map { _ in [Double]() }
    for _ in 0..<rounds {
        for index in names.indices where counts[index] > 0 {
            let time = run(index, counts[index])
            speeds[index].append(Double(bytes) * Double(counts[index]) / Double(max(time, 1)))
        }
    }
    let result = Duel(
        what: what, bytes: bytes, unit: "GB/s", contestants: names, median: speeds.map(median),
        lowest: speeds.map { $0.min() ?? .nan }, highest: speeds.map { $0.max() ?? .nan },
        ratio: speeds.map { other in median(zip(speeds[0], other).map { $0 / $1 }) }, note: note)
    say(result.line)
    return result
}

extension Duel {
    var line: String {
        let parts = contestants.indices.map { index in
            String(format: "%@ %.2f [%.2f…%.2f]", contestants[index], median[index], lowest[index], highest[index])
                + (index == 0 ? "" : String(format: " (×%.2f)", ratio[index]))
        }
        return "\(what) \(size): " + parts.joined(separator: ", ") + (note.isEmpty ? "" : " — \(note)")
    }

    var size: String {
        bytes >= 1 << 20 ? "\(bytes >> 20) MiB" : bytes >= 1 << 10 ? "\(bytes >> 10) KiB" : "\(bytes) B"
    }

    var row: String {
        let peers = contestants.indices.dropFirst().map { index in
            String(
                format: "%@ %.2f (%.2f…%.2f) | **%.2f**", contestants[index], median[index], lowest[index], highest[index],
                ratio[index])
        }
        return peers.map { peer in
            String(format: "| %@ | %@ | %.2f (%.2f…%.2f) | ", what, size, median[0], lowest[0], highest[0]) + peer + " |"
        }.joined(separator: "\n")
    }
}
