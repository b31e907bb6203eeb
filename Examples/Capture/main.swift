// SPDX-License-Identifier: Apache-2.0
// A ring of four periods that a device fills; the client falls behind once, and gets the number of lost periods.
// lines: 25
// prints: 31 periods came, and each was seen or counted as lost: true

// snippet: capture
import DMA
import DMACPUEngine

do {
    let wire = try FIFOPeripheral(depth: 1 << 16)
    var configuration = CPUConfiguration(workers: 1)
    configuration.peripherals = [wire]
    let domain = Domain(name: "capture")
    let channel = try Channel(CPUEngine(configuration), domain: domain, of: MappedBuffer.self)
    let memory = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
    var ring = try CyclicRing(channel, ring: memory, period: 1024)
    let sound = try Buffer(copying: [UInt8](repeating: 7, count: 1024))
    var (intact, lost) = (0, 0)
    rounds: for round in 0..<20 {
        // In the fifth pass the wire delivers three full rings before the client reads.
        for _ in 0..<(round == 4 ? 12 : 1) { sound.withBytes { _ = wire.deliver($0) } }
        while round != 4, try ring.wait(until: .after(.milliseconds(20))) {
            switch try ring.withNextPeriod({ period in period[1023] }) {
            case .intact(let byte): intact += byte == 7 ? 1 : 0
            case .overrun(let periods): lost += Int(periods)
            case .empty: continue
            case .ended: break rounds
            }
        }
    }
    print("31 periods came, and each was seen or counted as lost:", intact + lost == 31 && lost >= 8)
}
// end
