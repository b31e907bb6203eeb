// SPDX-License-Identifier: Apache-2.0

import DMADeviceSide
import Synchronization

/// A device that keeps words, can write one to memory, and can be slow to come back from a reset.
final class PlainModel: DeviceModel {
    let description: FunctionDescription
    private let state = Mutex<[UInt64: UInt64]>([:])
    private let attached = Mutex<DeviceFunction?>(nil)
    /// Accesses that answer all ones after a reset.
    let allOnesAfterReset: UInt64

    init(msiVectors: Int = 4, hasFunctionReset: Bool = false, allOnesAfterReset: UInt64 = 0) {
        var description = FunctionDescription(vendor: 0x1b36, device: 0x0001)
        description.regions = [.init(0, count: 4096), .init(2, count: 1 << 16, isWide: true)]
        description.msiVectors = msiVectors
        description.hasINTx = true
        description.hasFunctionReset = hasFunctionReset
        self.description = description
        self.allOnesAfterReset = allOnesAfterReset
    }

    var function: DeviceFunction? { attached.withLock { $0 } }
    var words: [UInt64: UInt64] { state.withLock { $0 } }

    func attach(_ function: DeviceFunction) { attached.withLock { $0 = function } }
    func read(_ region: Int, _ offset: UInt64, _ width: Int) -> UInt64 { state.withLock { $0[offset] ?? 0 } }
    func write(_ value: UInt64, _ region: Int, _ offset: UInt64, _ width: Int) { state.withLock { $0[offset] = value } }
    func reset() {
        state.withLock { $0 = [:] }
        if allOnesAfterReset > 0 { function?.answerAllOnes(allOnesAfterReset) }
    }
    func step() -> Bool { false }
}
