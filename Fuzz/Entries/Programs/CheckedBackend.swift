// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// A backend that checks its calls: each mapping ends once, as it was made, and none overlaps another. Refuses on demand.
final class CheckedBackend: MappingBackend {
    private struct State {
        var ranges: [UInt64: UInt64] = [:]
        var faults: [String] = []
        var refusals = 0
    }

    static let aperture: ClosedRange<UInt64> = 0x10_0000...0xfff_ffff
    private let state = Locked(State())

    var faults: [String] { state.withLock { $0.faults } }
    var count: Int { state.withLock { $0.ranges.count } }
    func refuse(_ times: Int) { state.withLock { $0.refusals = times } }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        let isRefused = state.withLock { state in
            if state.refusals > 0 {
                state.refusals -= 1
                return true
            }
            let start = iova.rawValue
            if count == 0 || start % 4096 != 0 || count % 4096 != 0 || source.address % 4096 != 0 || access.isEmpty {
                state.faults.append("maps \(count) bytes at \(start) with \(access)")
            }
            if start < Self.aperture.lowerBound || start > Self.aperture.upperBound
                || count - 1 > Self.aperture.upperBound - start
            {
                state.faults.append("maps \(count) bytes at \(start), outside of the aperture")
            }
            if state.ranges.contains(where: { $0.key < start + count && start < $0.key + $0.value }) {
                state.faults.append("maps \(count) bytes at \(start), where something is mapped")
            }
            state.ranges[start] = count
            return false
        }
        if isRefused { throw DMAError(.backendFailed, errno: 12) }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        let isRefused = state.withLock { state in
            if state.refusals > 0 {
                state.refusals -= 1
                return true
            }
            if state.ranges.removeValue(forKey: iova.rawValue) != count {
                state.faults.append("unmaps \(count) bytes at \(iova.rawValue), which was not mapped so")
            }
            return false
        }
        if isRefused { throw DMAError(.backendFailed, errno: 5) }
        return count
    }
}
