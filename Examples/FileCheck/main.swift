// SPDX-License-Identifier: Apache-2.0
// Reads this program's own file ahead through io_uring, computes its CRC on the CPU's channel, and copies it as planned.
// lines: 15
// prints: the copy has the CRC of the original: true

// snippet: file-check
import DMA
import DMACopy
import Foundation

do {
    let (system, path) = (DMASystem(), CommandLine.arguments[0])
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    let files = try system.share(ChannelRequest(.peripheral, name: "io_uring"))
    let cpu = try system.share(ChannelRequest(.crc32c), in: files.domain)
    var crc: UInt32 = 0
    for try await chunk in try await files.chunks(of: PeripheralFile(file.fileDescriptor), size: 1 << 20) {
        crc = try await cpu.crc32c(of: chunk, seed: crc)
    }
    var options = CopyOptions()
    options.verifies = true
    let report = try Copier(system: system).copy(from: .descriptor(file.fileDescriptor), to: .path(path + ".copy"), options)
    try FileManager.default.removeItem(atPath: path + ".copy")
    print("the copy has the CRC of the original:", report.crc32c == crc)
}
// end
