// SPDX-License-Identifier: Apache-2.0
// The README's program.

// snippet: first-copy
import DMA

func firstCopy(on system: DMASystem) async throws(DMAError) {
    var granted = try system.requestChannel(ChannelRequest(.copy), of: Pair<MappedBuffer, MappedBuffer>.self)
    var text = try Buffer(count: 1 << 20)
    text.withMutableBytes { $0.storeBytes(of: 0x1234_5678, as: UInt32.self) }
    let source = try text.mapped(for: granted.domain, direction: .toDevice)
    let target = try Buffer(count: 1 << 20).mapped(for: granted.domain, direction: .fromDevice)
    let cookie = try granted.channel.submit(.copy(), Pair(source, target)).get()
    let copied = try await granted.channel.finished(cookie).takeCargo().second.unmap()
    print(granted.info.name, copied.withBytes { unsafe $0.unsafeLoad(as: UInt32.self) } == 0x1234_5678)
}
// end

try await firstCopy(on: DMASystem())
