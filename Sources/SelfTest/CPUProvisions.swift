// SPDX-License-Identifier: Apache-2.0

package import DMACPUEngine
package import DMAConformance
package import DMACore

/// The conformance suite's provisions for the CPU engine: software peripherals, and the code that simulates their wire.
package enum CPUProvisions {
    /// Two peripherals on request lines 0 and 1, large enough that the suite's transfers never find them full.
    package static func peripherals() throws(DMAError) -> [FIFOPeripheral] {
        [try FIFOPeripheral(depth: 1 << 20, width: 4), try FIFOPeripheral(depth: 1 << 20, width: 4)]
    }

    /// For engines that were made with these peripherals. There is no stream: the suite's clock is exact to the byte, and with
    /// a FIFO an engine runs ahead of it; ``StreamRow`` tests the rings.
    package static func provisions(_ peripherals: [FIFOPeripheral]) -> ConformanceProvisions<CPUEngine> {
        var provisions = ConformanceProvisions<CPUEngine>()
        provisions.peripheral = { _ in Wire(peripherals) }
        provisions.ringsRunFreely = false
        return provisions
    }
}

/// The far side of the peripherals' FIFOs.
final class Wire: ConformancePeripheral {
    private let peripherals: [FIFOPeripheral]

    init(_ peripherals: [FIFOPeripheral]) {
        self.peripherals = peripherals
        // Bytes left by an earlier check do not belong to this one.
        for peripheral in peripherals { empty(peripheral) }
    }

    var lines: [UInt32] { peripherals.indices.map(UInt32.init) }
    var unit: Int { 4 }

    func feed(_ bytes: [UInt8], line: UInt32) {
        // SAFETY: the span does not leave the closure that the array lends its bytes to.
        unsafe bytes.withUnsafeBytes { unsafe _ = peripherals[Int(line)].deliver(RawSpan(_unsafeBytes: $0)) }
    }

    func drain(line: UInt32) -> [UInt8] { take(peripherals[Int(line)], atMost: .max) }
}

func take(_ peripheral: FIFOPeripheral, atMost limit: Int) -> [UInt8] {
    var result: [UInt8] = []
    while result.count < limit {
        var piece = [UInt8](repeating: 0, count: min(limit - result.count, 4096))
        // SAFETY: the span does not leave the closure that the array lends its bytes to.
        let count = unsafe piece.withUnsafeMutableBytes { buffer in
            var bytes = unsafe MutableRawSpan(_unsafeBytes: buffer)
            return peripheral.collect(into: &bytes)
        }
        if count == 0 { break }
        result += piece.prefix(count)
    }
    return result
}

func empty(_ peripheral: FIFOPeripheral) { _ = take(peripheral, atMost: .max) }
