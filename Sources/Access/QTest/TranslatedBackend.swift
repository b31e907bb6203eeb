// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit
internal import DMATypes

/// Lets the machine's devices reach memory of this process behind its IOMMU: with the permissions of the mapping, and not after its end.
///
/// The pages become pages of the machine, as ``GuestBackend`` does it; the IOMMU's tables lead to them.
final class TranslatedBackend: MappingBackend {
    private let pages: GuestBackend
    private let unit: TranslationUnit

    init(_ pages: GuestBackend, _ unit: TranslationUnit) {
        self.pages = pages
        self.unit = unit
    }

    var needs: SourceNeeds { pages.needs }
    var isDead: Bool { pages.isDead }

    private func machineAddress(_ iova: IOVA, _ count: UInt64) throws(DMAError) -> UInt64 {
        let (address, isBelow) = iova.rawValue.subtractingReportingOverflow(unit.offset)
        guard !isBelow, unit.usable.contains(address), count > 0, count - 1 <= unit.usable.upperBound - address else {
            throw DMAError(.backendFailed, asked: iova.rawValue, errno: 14)
        }
        return address
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        let address = try machineAddress(iova, count)
        try pages.map(at: IOVA(address), source, count: count, access: access)
        guard !unit.map(address, count: count, access) else { return }
        // No device reaches the pages: they go back. ETIMEDOUT.
        _ = try pages.unmap(at: IOVA(address), count: count)
        throw DMAError(.backendFailed, asked: iova.rawValue, errno: 110)
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        let address = try machineAddress(iova, count)
        // First the devices lose the pages, then the pages change.
        guard unit.unmap(address, count: count) || isDead else {
            throw DMAError(.backendFailed, asked: iova.rawValue, errno: 110)
        }
        return try pages.unmap(at: IOVA(address), count: count)
    }
}
