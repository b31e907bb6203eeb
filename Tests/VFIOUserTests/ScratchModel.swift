// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADeviceSide
import DMATypes

/// A device that does with memory and interrupts what its registers say, one thing at a step.
final class ScratchModel: DeviceModel {
    /// Where its registers are.
    enum Place {
        static let address: UInt64 = 0x00
        static let count: UInt64 = 0x08
        /// 1 reads memory into the data register, 2 fills it with that register's lowest byte.
        static let command: UInt64 = 0x10
        static let data: UInt64 = 0x18
        /// How the last command has ended: 0 while it runs, 1 for well, 2 for an error.
        static let result: UInt64 = 0x20
        /// Fires the vector that is written.
        static let vector: UInt64 = 0x28
        /// The level of INTx.
        static let level: UInt64 = 0x30
    }

    let description: FunctionDescription
    private let words = Locked<[UInt64: UInt64]>([:])
    private let attached = Locked<DeviceFunction?>(nil)
    private let resetCount = Locked(0)

    init(msiVectors: Int = 4) {
        var description = FunctionDescription(vendor: 0x1b36, device: 0x0002)
        description.regions = [.init(0, count: 4096), .init(2, count: 1 << 16, isWide: true)]
        description.msiVectors = msiVectors
        description.hasINTx = true
        description.hasFunctionReset = true
        self.description = description
    }

    var resets: Int { resetCount.withLock { $0 } }

    func attach(_ function: DeviceFunction) { attached.withLock { $0 = function } }

    func read(_ region: Int, _ offset: UInt64, _ width: Int) -> UInt64 {
        words.withLock { ($0[offset + UInt64(region) << 32] ?? 0) }
    }

    func write(_ value: UInt64, _ region: Int, _ offset: UInt64, _ width: Int) {
        guard let function = attached.withLock({ $0 }) else { return }
        words.withLock { words in
            words[offset + UInt64(region) << 32] = value
            if region == 0, offset == Place.command { words[Place.result] = 0 }
        }
        guard region == 0 else { return }
        if offset == Place.vector { function.fire(Int(truncatingIfNeeded: value)) }
        if offset == Place.level { function.setINTx(value != 0) }
    }

    func reset() {
        words.withLock { $0 = [:] }
        resetCount.withLock { $0 += 1 }
        attached.withLock { $0 }?.setINTx(false)
    }

    func step() -> Bool {
        guard let function = attached.withLock({ $0 }) else { return false }
        let job = words.withLock { words -> [UInt64: UInt64]? in
            guard let command = words[Place.command], command != 0 else { return nil }
            defer { words[Place.command] = 0 }
            return words
        }
        guard let job else { return false }
        let address = IOVA(job[Place.address] ?? 0)
        var bytes = [UInt8](
            repeating: UInt8(truncatingIfNeeded: job[Place.data] ?? 0), count: Int(min(job[Place.count] ?? 0, 1 << 22)))
        var result: UInt64 = 1
        do throws(DMAError) {
            if job[Place.command] == 2 {
                try unsafe function.write(bytes.span.bytes, at: address)
            } else {
                var span = bytes.mutableSpan
                var raw = unsafe span.mutableBytes
                try function.read(address, into: &raw)
            }
        } catch { result = 2 }
        let sum = bytes.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }
        words.withLock { words in
            if job[Place.command] == 1 { words[Place.data] = sum }
            words[Place.result] = result
        }
        return true
    }

    /// What the data register holds after these bytes were read.
    static func sum(_ bytes: [UInt8]) -> UInt64 { bytes.reduce(0) { $0 &* 31 &+ UInt64($1) } }
}
