// SPDX-License-Identifier: Apache-2.0

import DMA
import ProcessMemoryEngine
import Testing

@Suite("The provider")
struct ProviderTests {
    @Test("a program requests a channel of the engine by name, and every byte is right")
    func requested() async throws {
        let system = DMASystem(providers: [ProcessMemoryProvider()])
        let listing = try #require(system.engines.first)
        #expect(listing.offer.absence == nil && listing.channelNames.count == 8)
        var granted = try system.requestChannel(ChannelRequest(.copy), of: Pair<MappedBuffer, MappedBuffer>.self)
        #expect(granted.info.name == "process-memory/0")
        #expect(granted.info.capabilities.implementation == listing.offer.capabilities.implementation)
        var buffer = try Buffer(count: 100_000)
        buffer.withMutableBytes { bytes in
            for index in 0..<100_000 {
                bytes.storeBytes(of: UInt8(truncatingIfNeeded: index &* 7), toByteOffset: index, as: UInt8.self)
            }
        }
        let source = try buffer.mapped(for: granted.domain, direction: .toDevice)
        let target = try Buffer(count: 100_000).mapped(for: granted.domain, direction: .fromDevice)
        let cookie = try granted.channel.submit(.copy(), Pair(source, target)).get()
        granted.channel.issuePending()
        let finished = try await granted.channel.finished(cookie)
        #expect(finished.status == .complete)
        let copied = try finished.takeCargo().second.unmap()
        let isEqual = copied.withBytes { bytes in
            // SAFETY: every index is below the buffer's count.
            (0..<100_000).allSatisfy {
                unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == UInt8(truncatingIfNeeded: $0 &* 7)
            }
        }
        #expect(isEqual)
    }
}
