// SPDX-License-Identifier: Apache-2.0
// The io_uring engine against fio on one file: run alternately, medians and spread.

import DMACore
import Foundation

struct Line: Codable {
    var workload: String
    var command: String
    var engine: [Rates]
    var peer: [Rates]
}

func spread(_ values: [Double], _ scale: Double) -> String {
    let sorted = values.sorted()
    guard let first = sorted.first, let last = sorted.last else { return "–" }
    func text(_ value: Double) -> String { String(format: "%.0f", value / scale) }
    return "\(text(sorted[sorted.count / 2])) (\(text(first))…\(text(last)))"
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

guard CommandLine.arguments.count == 5, let mebibytes = UInt64(CommandLine.arguments[2]), mebibytes >= 64,
    let seconds = Int(CommandLine.arguments[3]), seconds > 0
else {
    print("usage: dma-benchmark-storage FILE MIB SECONDS RESULTS")
    throw DMAError(.badConfiguration)
}
let path = CommandLine.arguments[1]
let bytes = mebibytes << 20
// Written, not only reserved: a disk returns holes without reading the medium.
_ = FileManager.default.createFile(atPath: path, contents: nil)
guard let file = FileHandle(forWritingAtPath: path) else { throw DMAError(.kernelRefused) }
var piece = Data(count: 4 << 20)
for index in stride(from: 0, to: piece.count, by: 512) { piece[index] = UInt8(truncatingIfNeeded: index >> 9 | 1) }
for _ in 0..<(bytes >> 22) { file.write(piece) }
try file.synchronize()
try file.close()

let peer = Peer()
if peer == nil { print("fio is not installed: left out") }
let rounds = 5
var lines: [Line] = []
for workload in Workload.all {
    var line = Line(
        workload: workload.name,
        command: peer.map { $0.arguments("FILE", bytes, workload, seconds: seconds).joined(separator: " ") } ?? "", engine: [],
        peer: [])
    for _ in 0..<rounds {
        line.engine.append(try read(path, bytes, workload, seconds: seconds))
        if let rates = peer?.read(path, bytes, workload, seconds: seconds) { line.peer.append(rates) }
    }
    lines.append(line)
    let (ours, theirs) = (line.engine.map(\.readsPerSecond), line.peer.map(\.readsPerSecond))
    print("\(workload.name): engine \(spread(ours, 1)), peer \(spread(theirs, 1)) reads/s")
}

var text = """
    <!-- SPDX-License-Identifier: Apache-2.0 -->
    # The io_uring engine beside fio

    Made by `Benchmarks/storage/run`: one file of \(mebibytes) MiB, direct reads, registered memory and file, one thread;
    \(rounds) runs of \(seconds) s each, in turn. Median, lowest and highest. Peer: \(peer?.version ?? "fio, not installed").
    A virtual machine whose disk is shared: the spread is the neighbours'.

    | what | depth | swift-dma MiB/s | fio MiB/s | ratio | swift-dma reads/s | fio reads/s | ratio | processor, both |
    |---|---|---|---|---|---|---|---|---|

    """
for (line, workload) in zip(lines, Workload.all) {
    let ratios = zip(line.engine, line.peer).map { $0.bytesPerSecond / $1.bytesPerSecond }
    let reads = zip(line.engine, line.peer).map { $0.readsPerSecond / $1.readsPerSecond }
    let ratio = ratios.isEmpty ? "–" : String(format: "**%.2f**", median(ratios))
    let readRatio = reads.isEmpty ? "–" : String(format: "**%.2f**", median(reads))
    let processor = [line.engine, line.peer].map {
        $0.isEmpty ? "–" : String(format: "%.0f %%", median($0.map(\.processor)) * 100)
    }
    text += "| \(line.workload) | \(workload.depth) | \(spread(line.engine.map(\.bytesPerSecond), 1_048_576)) "
    text += "| \(spread(line.peer.map(\.bytesPerSecond), 1_048_576)) | \(ratio) "
    text += "| \(spread(line.engine.map(\.readsPerSecond), 1)) | \(spread(line.peer.map(\.readsPerSecond), 1)) | \(readRatio) "
    text += "| \(processor.joined(separator: ", ")) |\n"
}
text += "\nRatios are medians of the rounds' ratios. The peer's commands:\n\n"
for line in lines where !line.command.isEmpty { text += "    \(line.command)\n" }
print(text)
let results = URL(fileURLWithPath: CommandLine.arguments[4])
try text.write(to: results.appendingPathComponent("storage.md"), atomically: true, encoding: .utf8)
let encoder = JSONEncoder()
encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
try encoder.encode(lines).write(to: results.appendingPathComponent("storage.json"))
