// SPDX-License-Identifier: Apache-2.0
// Measures the CPU engine against its peers. Benchmarks/run builds it and calls it with: the parts (or all), the directory of
// the results, and the program that drives dma_skeleton.

import DMACPUEngine
import Foundation

let arguments = CommandLine.arguments
let parts = Set((arguments.count > 1 ? arguments[1] : "all").split(separator: ",").map(String.init))
let folder = arguments.count > 2 ? arguments[2] : ""
let skeleton = Skeleton(arguments.count > 3 ? arguments[3] : nil)
func wanted(_ part: String) -> Bool { parts.contains("all") || parts.contains(part) }

var report = Report()
say("\(report.machine)\n\(report.kernels)")
if skeleton == nil { say("dma_skeleton: absent") }
if wanted("copy") { for size in Copies.sizes { report.duels.append(try Copies.copy(size)) } }
if wanted("dpdk"), let skeleton {
    for size in Copies.sizes where size <= 64 << 10 { report.duels.append(try Copies.copy(size, skeleton: skeleton)) }
}
if wanted("fill") {
    for size in Copies.sizes {
        report.duels.append(try Copies.fill(size, pattern: 0x5a5a_5a5a_5a5a_5a5a, "fill (byte)"))
        report.duels.append(try Copies.fill(size, pattern: 0x0123_4567_89ab_cdef, "fill (8 bytes)"))
    }
}
if wanted("crc") { for size in Copies.sizes where size >= 1024 { report.duels.append(try Copies.crc32c(size)) } }
for what in ["xor", "pq"] where wanted(what) {
    for size in Parity.sizes { report.duels.append(try Parity.run(what, size)) }
}
if wanted("threads") { report.threads = try Threads.run() }
if wanted("maps") { (report.maps, report.flatMaps) = (try Maps.run(), try Maps.flat()) }
if wanted("modes") { report.modes = try Modes.run() }
if !folder.isEmpty { try report.write(to: folder) }
