// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import Testing

@testable import DMACore

/// The code of the error that `body` throws, or nil.
func refusal(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
    do throws(DMAError) {
        try body()
        return nil
    } catch { return error.code }
}

/// A backend that records mappings, checks the preconditions of every backend, and can fail on demand.
final class RecordingBackend: MappingBackend {
    struct Entry: Equatable {
        var iova: UInt64
        var address: UInt
        var count: UInt64
        var access: DeviceAccess
    }
    struct State {
        var live: [Entry] = []
        var maps = 0
        var unmaps = 0
        var mistakes: [String] = []
        /// The n-th call from now on fails, counted from 1.
        var failMapIn = 0
        var failUnmap = false
    }
    let state = Locked(State())
    let page: UInt64

    init(page: UInt64 = 4096) { self.page = page }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        let address = UInt(source.address)
        try state.withLock { state throws(DMAError) in
            state.maps += 1
            if state.failMapIn > 0 {
                state.failMapIn -= 1
                if state.failMapIn == 0 { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 12) }
            }
            if iova.rawValue % page != 0 || UInt64(address) % page != 0 || count % page != 0 || count == 0 {
                state.mistakes.append("not whole pages")
            }
            for entry in state.live where iova.rawValue < entry.iova + entry.count && entry.iova < iova.rawValue + count {
                state.mistakes.append("overlap at \(iova)")
            }
            state.live.append(Entry(iova: iova.rawValue, address: address, count: count, access: access))
        }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        try state.withLock { state throws(DMAError) -> UInt64 in
            state.unmaps += 1
            if state.failUnmap { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 5) }
            guard let index = state.live.firstIndex(where: { $0.iova == iova.rawValue && $0.count == count }) else {
                state.mistakes.append("unmap of \(iova), which is not mapped")
                return 0
            }
            state.live.remove(at: index)
            return count
        }
    }

    var live: [Entry] { state.withLock { $0.live } }
    var mistakes: [String] { state.withLock { $0.mistakes } }
    func failMap(in calls: Int) { state.withLock { $0.failMapIn = calls } }
    func failUnmap(_ fails: Bool) { state.withLock { $0.failUnmap = fails } }

    /// The address in this process behind a bus address, if a mapping permits the access.
    func resolve(_ iova: IOVA, _ access: DeviceAccess) -> UInt? {
        for entry in live where iova.rawValue >= entry.iova && iova.rawValue - entry.iova < entry.count {
            return entry.access.isSuperset(of: access) ? entry.address + UInt(iova.rawValue - entry.iova) : nil
        }
        return nil
    }

    /// Simulates the device: one byte at a bus address, nil where the IOMMU would stop it.
    func read(_ iova: IOVA) -> UInt8? {
        guard let address = resolve(iova, .read) else { return nil }
        return unsafe UnsafeRawPointer(bitPattern: address)?.load(as: UInt8.self)
    }

    /// - Returns: whether the IOMMU permitted it.
    func write(_ value: UInt8, _ iova: IOVA) -> Bool {
        guard let address = resolve(iova, .write) else { return false }
        unsafe UnsafeMutableRawPointer(bitPattern: address)?.storeBytes(of: value, as: UInt8.self)
        return true
    }
}

/// A domain behind a recording backend: 39 address bits, with a hole at a PC's MSI window.
func translatedDomain(
    _ constraints: DeviceConstraints = DeviceConstraints(), backend: RecordingBackend = RecordingBackend(),
    apertures: [ClosedRange<UInt64>] = [0...0xfedf_ffff, 0xfef0_0000...(1 << 39) - 1], pageSizes: [UInt64] = [4096, 2 << 20]
) throws(DMAError) -> (Domain, RecordingBackend) {
    let domain = try Domain(
        name: "test", constraints: constraints,
        translation: .translated(backend, apertures: apertures, pageSizes: pageSizes))
    return (domain, backend)
}

/// Simulates the device in an identity domain: writes bytes at a bus address inside a region.
func deviceWrites(_ value: UInt8, to region: MappedRange, at offset: Int = 0, count: Int = 1) {
    let pointer = unsafe UnsafeMutableRawPointer(bitPattern: UInt(region.start.rawValue))
    for index in 0..<count { unsafe pointer?.storeBytes(of: value, toByteOffset: offset + index, as: UInt8.self) }
}

func deviceReads(_ region: MappedRange, at offset: Int = 0) -> UInt8 {
    let pointer = unsafe UnsafeMutableRawPointer(bitPattern: UInt(region.start.rawValue))
    return unsafe pointer?.load(fromByteOffset: offset, as: UInt8.self) ?? 0
}

extension RawSpan {
    /// One byte; 0 outside.
    func byte(_ index: Int) -> UInt8 {
        index >= 0 && index < byteCount ? unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self) : 0
    }
}
