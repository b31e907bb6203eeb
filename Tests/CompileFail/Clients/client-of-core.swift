// SPDX-License-Identifier: Apache-2.0
// Client code with the inlined channel, and with callbacks: types of the core that `import DMA` does not re-export.
import DMA
import DMACore

typealias Two = Pair<MappedBuffer, MappedBuffer>

func lease(_ domain: Domain) throws(DMAError) -> CargoList<Block> {
    var pool: Pool = try Pool(try Buffer(count: 1 << 16).mapped(for: domain, direction: .bidirectional), blockSize: 4096)
    var cargo = CargoList<Block>(capacity: 4)
    while let block: Block = pool.lease() { if cargo.append(block) != nil { break } }
    return cargo
}

func plane(_ template: InterleavedTemplate, by deadline: Deadline, _ cargo: consuming Two) -> Transaction<Two> {
    Transaction(.interleaved(template: template), cargo, deadline: deadline)
}

func parity(_ coefficients: Coefficients, _ granularity: ResidueGranularity) -> Bool {
    Operation.pq(sources: 0..<4, p: 4, coefficients: coefficients).kind == .pq && granularity == .burst
}

func flush(_ channel: inout SystemChannel<NoCargo>, _ command: PeripheralCommand = .flush) throws(DMAError) {
    _ = try channel.submit(.command(command, at: PeripheralPlace.configured), NoCargo()).get()
}

final class Client {
    var channel: SystemCallbackChannel<MappedBuffer>
    init(_ channel: consuming SystemChannel<MappedBuffer>) { self.channel = CallbackChannel(channel) }
}
