// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore

extension FileRecord {
    /// Gives our descriptors back.
    func close() {
        cdma_close(owned)
        if ownedDirect >= 0 { cdma_close(ownedDirect) }
    }
}

extension IOUringEngine {
    /// Takes a file, a block device, a pipe, a socket or a character device. The engine keeps a descriptor of its own.
    ///
    /// - Throws: `tooManyPeripherals`; `kernelRefused` where the descriptor is none.
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 {
        guard let number = state.table.records.firstIndex(where: { $0 == nil }) else {
            throw DMAError(.tooManyPeripherals, limit: fileLimit)
        }
        var facts = cdma_file_facts()
        let refusal = unsafe cdma_file_examine(file.descriptor, &facts)
        guard refusal == 0 else { throw DMAError(.kernelRefused, errno: -refusal) }
        let owned = cdma_file_duplicate(file.descriptor)
        guard owned >= 0 else { throw DMAError(.kernelRefused, errno: -owned) }
        let handle = state.table.handle(owned, at: number * 2, state.carrier)
        let record = FileRecord(file: file, kind: FileKind(format: facts.format), owned: owned, handle: handle)
        state.table.records[number] = record
        enter(number, record)
        return UInt32(number)
    }

    /// Writes what the steady path looks at.
    private mutating func enter(_ number: Int, _ record: FileRecord) {
        var entry = FileEntry()
        entry.descriptor = record.handle.descriptor
        entry.flags = record.handle.flags
        if record.kind.hasPositions {
            entry.readMask = 0
            entry.writeMask = 0
        }
        unsafe files[number] = entry
    }

    public mutating func detach(_ number: UInt32) throws(DMAError) {
        guard UInt64(number) < fileLimit, let record = state.table.records[Int(number)] else {
            throw DMAError(.noSuchPeripheral, asked: UInt64(number))
        }
        guard unsafe files[Int(number)].inFlight == 0 else { throw DMAError(.peripheralBusy, asked: UInt64(number)) }
        unsafe files[Int(number)] = FileEntry()
        state.table.records[Int(number)] = nil
        state.table.set(-1, at: Int(number) * 2, state.carrier)
        record.close()
    }
}
