// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACPUEngine
import DMACore

/// One line each, on a channel that tasks share and on one of this task's own.
func oneLine() async throws {
    let system = DMASystem()
    let channel = try system.share(ChannelRequest([.copy, .crc32c, .fill]))
    var source = try Buffer(count: 65_536)
    try source.store(0x1234_5678 as UInt32, at: 4096)
    let from = try source.mapped(for: channel.domain, direction: .toDevice)
    var to = try Buffer(count: 65_536).mapped(for: channel.domain, direction: .bidirectional)
    try await channel.copy(from, to: &to, by: .after(.seconds(10)))
    let both = (try await channel.crc32c(of: from), try await channel.crc32c(of: to))
    try require(both.0 == both.1, "the CRC of a copy")
    try await channel.fill(&to, pattern: 7)
    try require(try to.unmap().load(at: 8, as: UInt64.self) == 7, "a fill")
    var own = try system.requestChannel(ChannelRequest(.crc32c), of: Loan.self)
    let text = try Buffer(copying: "123456789".utf8).mapped(for: own.domain, direction: .toDevice)
    try require(try await own.channel.crc32c(of: text) == 0xe306_9283, "the check value of CRC32C")
}

/// Submit, issue, drain, in a pool's blocks.
func pooled() async throws {
    let domain = Domain(name: "client")
    let memory = try Buffer(count: 16 * 4096).mapped(for: domain, direction: .bidirectional)
    var pool = try Pool(memory, blockSize: 4096)
    var channel = try Channel(CPUEngine(CPUConfiguration(depth: 8)), domain: domain, of: Pair<Block, Block>.self)
    var submitted = 0
    while submitted < 8, let source = pool.lease(), let target = pool.lease() {
        _ = try channel.submit(.copy(count: 4096), Pair(source, target)).get()
        submitted += 1
    }
    var complete = 0
    try await channel.drain { (finished, _) throws(DMAError) in
        complete += finished.status == .complete ? 1 : 0
        return true
    }
    try require(complete == 8 && channel.inFlight == 0, "a drain")
    try channel.pause()
    try await channel.drain { (_, _) throws(DMAError) in true }
    try channel.resume()
}

/// A ring of four periods that loses two.
func ring() throws {
    let wire = try FIFOPeripheral(depth: 1 << 14)
    var configuration = CPUConfiguration(workers: 1)
    configuration.peripherals = [wire]
    let domain = Domain(name: "ring")
    let memory = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
    var ring = try CyclicRing(
        Channel(CPUEngine(configuration), domain: domain, of: MappedBuffer.self), ring: memory, period: 1024)
    let sound = try Buffer(copying: [UInt8](repeating: 9, count: 1024))
    sound.withBytes { _ = wire.deliver($0) }
    try require(try ring.wait(until: .after(.seconds(10))), "a period")
    guard case .intact(9) = try ring.withNextPeriod({ $0[1023] }) else { throw Wrong("the period's bytes") }
}
