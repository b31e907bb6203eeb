// SPDX-License-Identifier: Apache-2.0
// 1 GiB over four channels, each of which copies a part.
// lines: 10
// prints: 1 GiB over four channels: true

// snippet: four-channels
import DMA

do {
    let system = DMASystem()
    let channels = try (0..<4).map { _ in try system.share(ChannelRequest(.copy, name: "cpu-threads")) }
    var source = try Buffer(count: 1 << 30)
    try source.store(0x1234_5678 as UInt32, at: 1 << 29)
    let from = try source.mapped(for: channels[0].domain, direction: .toDevice)
    var to = try Buffer(count: 1 << 30).mapped(for: channels[0].domain, direction: .fromDevice)
    try await SharedChannel.copy(from, to: &to, over: channels)
    print("1 GiB over four channels:", try to.unmap().load(at: 1 << 29, as: UInt32.self) == 0x1234_5678)
}
// end
