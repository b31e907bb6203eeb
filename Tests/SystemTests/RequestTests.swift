// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import Testing

@Suite("Requesting channels")
struct RequestTests {
    /// The refusal of `requestChannel`, or nil.
    func refusal(_ system: DMASystem, _ request: ChannelRequest) -> DMAError.Code? {
        do throws(DMAError) {
            _ = try system.requestChannel(request, of: MappedBuffer.self)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("rule 1: a granted channel is exclusive, and free again at the end of its scope")
    func rule01_exclusive() throws {
        let system = DMASystem()
        do {
            let granted = try system.requestChannel(ChannelRequest(name: "cpu/3"), of: MappedBuffer.self)
            #expect(granted.info.name == "cpu/3")
            #expect(refusal(system, ChannelRequest(name: "cpu/3")) == .channelBusy)
            #expect(system.engines.first { $0.offer.name == "cpu" }?.channelsInUse == 1)
        }
        #expect(refusal(system, ChannelRequest(name: "cpu/3")) == nil)
        #expect(system.engines.allSatisfy { $0.channelsInUse == 0 })
    }

    @Test("by capability, by filter and by name")
    func choices() throws {
        let system = DMASystem()
        var request = ChannelRequest([.copy, .xor])
        request.needsInterrupts = true
        let threads = try system.requestChannel(request, of: MappedBuffer.self)
        #expect(threads.info.engine == "cpu-threads")
        request = ChannelRequest(filter: { $0.capabilities.completesInOrder && $0.name.hasSuffix("/7") })
        let seventh = try system.requestChannel(request, of: MappedBuffer.self)
        #expect(seventh.info.name == "cpu/7")
        #expect(refusal(system, ChannelRequest(name: "gpu")) == .noSuchChannel)
        #expect(refusal(system, ChannelRequest([.copy, .peripheral])) == .noSuchChannel)
    }

    @Test("a granted channel copies, and every byte is right")
    func copies() throws {
        let system = DMASystem()
        var granted = try system.requestChannel(ChannelRequest(.copy), of: Pair<MappedBuffer, MappedBuffer>.self)
        var source = try Buffer(count: 100_000)
        source.withMutableBytes { bytes in
            for index in 0..<100_000 {
                bytes.storeBytes(of: UInt8(truncatingIfNeeded: index &* 7), toByteOffset: index, as: UInt8.self)
            }
        }
        let cargo = Pair(
            try source.mapped(for: granted.domain, direction: .toDevice),
            try Buffer(count: 100_000).mapped(for: granted.domain, direction: .fromDevice))
        _ = try granted.channel.submit(.copy(), cargo).get()
        granted.channel.issuePending()
        let limit = Deadline.after(milliseconds: 10_000)
        while Deadline.now < limit {
            guard let finished = granted.channel.next() else { continue }
            #expect(finished.status == .complete)
            let target = try finished.takeCargo().second.unmap()
            target.withBytes { bytes in
                for index in 0..<100_000
                where unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) != UInt8(truncatingIfNeeded: index &* 7) {
                    Issue.record("byte \(index) is wrong")
                    return
                }
            }
            return
        }
        Issue.record("no completion")
    }

    @Test("many threads request the same channel: one gets it")
    func contention() async throws {
        let system = DMASystem()
        let granted = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    guard let granted = try? system.requestChannel(ChannelRequest(name: "cpu/0"), of: MappedBuffer.self) else {
                        return false
                    }
                    // Held until every other task has made its request.
                    try? await Task.sleep(for: .milliseconds(200))
                    return granted.info.name == "cpu/0"
                }
            }
            var number = 0
            for await isGranted in group where isGranted { number += 1 }
            return number
        }
        #expect(granted == 1)
    }
}
