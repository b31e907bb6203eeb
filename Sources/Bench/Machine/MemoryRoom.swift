// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAUnits

/// How much memory a measurement may take of what the machine and its control groups leave: a kernel that has none ends the process without a
/// word.
struct MemoryRoom: Equatable {
    /// Bytes that sources and destinations of one channel may take together.
    let perChannel: Int
    /// What to say of it; nil where it is as much as was asked for, or as is needed.
    let note: String?
    /// Why nothing can be measured; nil where something can.
    let refusal: String?

    /// What one point's histograms take. Bytes.
    private static let histograms: UInt64 = 512 << 10

    /// - Parameters:
    ///   - points: of the whole run, each of which keeps its latencies.
    ///   - budget: what there is now.
    init(_ settings: BenchSettings, _ point: BenchPoint, points: Int, _ budget: MemoryBudget) {
        let each = point.memoryOfOne(settings)
        // The other half is for what threads, engines and the kernel's tables take.
        let kept = 4 << 20 + UInt64(clamping: points) * Self.histograms
        let free = (budget.available - min(kept, budget.available)) / 2 / UInt64(clamping: max(point.threads, 1))
        guard UInt64(clamping: settings.memory) > free else {
            (perChannel, note, refusal) = (settings.memory, nil, nil)
            return
        }
        // Whole MiB, so that it can be read.
        let room = Int(clamping: free >= 1 << 20 ? (free >> 20) << 20 : (free >> 10) << 10)
        perChannel = room
        let there = budget.sentence { ByteSize.exact(Int(clamping: ($0 >> 10) << 10)) }
        if each > room {
            note = nil
            refusal =
                "one transaction of \(ByteSize.exact(point.bytes)) takes \(ByteSize.exact(each)) of memory, "
                + "\(ByteSize.exact(room)) can be had: \(there). Cure: a smaller size, fewer threads, or a higher limit"
        } else {
            refusal = nil
            let wanted =
                settings.cache == .cold ? settings.memory : each.multipliedReportingOverflow(by: point.depth).partialValue
            note = wanted > room ? "at most \(ByteSize.exact(room)) of memory for each channel: \(there)" : nil
        }
    }
}

extension BenchPoint {
    /// Bytes that one transaction's sources and destinations take together.
    func memoryOfOne(_ settings: BenchSettings) -> Int {
        let places =
            switch operation {
            case .fill, .crc32c, .fromPeripheral, .toPeripheral: 1
            case .copy, .copyCRC32C, .scatterGather: 2
            case .interleaved: 3
            case .xorValidate: settings.sources
            case .xor: settings.sources + 1
            case .pq, .pqValidate: settings.sources + 2
            }
        return isMemcpy ? 2 * bytes : places * bytes
    }
}
