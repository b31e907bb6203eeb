// SPDX-License-Identifier: Apache-2.0
// The README's program.
// prints: cpu true

// snippet: first-copy
import DMA

func firstCopy(on system: DMASystem) async throws(DMAError) {
    let channel = try system.share(ChannelRequest(.copy))
    var text = try Buffer(count: 1 << 20)
    try text.store(0x1234_5678 as UInt32)
    let source = try text.mapped(for: channel.domain, direction: .toDevice)
    var target = try Buffer(count: 1 << 20).mapped(for: channel.domain, direction: .fromDevice)
    try await channel.copy(source, to: &target)
    print(channel.capabilities.name, try target.unmap().load(as: UInt32.self) == 0x1234_5678)
}
// end

try await firstCopy(on: DMASystem())
