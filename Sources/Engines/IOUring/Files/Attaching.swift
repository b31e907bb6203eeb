// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import SystemPackage

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

extension FileRecord {
    /// Closes the engine's own descriptors: returns the first error, if any.
    func close() -> KernelResult {
        let result = owned.release()
        let direct = ownedDirect?.release() ?? .success
        return result.errno == nil ? direct : result
    }
}

extension IOUringEngine {
    /// Attaches a file, a block device, a pipe, a socket or a character device. The engine keeps a descriptor of its own.
    ///
    /// The generic node of an NVMe namespace (/dev/ngXnY) is used with NVMe commands, bypassing the block layer: in whole
    /// blocks, on an engine with ``IOUringConfiguration/passthrough``.
    ///
    /// On an engine that polls for completions, every file must be attached as direct and be on a device that supports polling,
    /// and unaligned transfers fail with EOPNOTSUPP.
    ///
    /// - Throws: `tooManyPeripherals`; `kernelRefused` where the descriptor is not valid, or with EOPNOTSUPP for a namespace on
    ///   an engine whose ring does not support commands.
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 {
        // SAFETY: the C function writes a local structure. `number` is an index of the records, of which there are as many as file
        // entries.
        guard let number = state.table.records.firstIndex(where: { $0 == nil }) else {
            throw DMAError(.tooManyPeripherals, limit: fileLimit)
        }
        var facts = cdma_file_facts()
        try KernelResult(unsafe cdma_file_examine(file.descriptor, &facts)).get()
        var record = try open(file, facts, number)
        if file.cache == .direct, record.kind.hasPositions { openDirect(&record, facts, number) }
        if state.configuration.polledCompletions, state.carrier.isKernel {
            let refusal =
                if let direct = record.ownedDirect { PolledProbe.run(direct, alignment: record.readMask + 1) } else {
                    Errno.notSupportedOnSocket
                }
            if let refusal {
                state.table.clear(number * 2, state.carrier)
                state.table.clear(number * 2 + 1, state.carrier)
                ReleaseFailures.note(record.close())
                throw DMAError(.kernelRefused, errno: refusal.rawValue)
            }
        }
        state.table.records[number] = record
        var entry = FileEntry()
        entry.descriptor = (record.direct ?? record.handle).number
        entry.flags = (record.direct ?? record.handle).flags
        entry.readMask = record.entryReadMask
        entry.writeMask = record.entryWriteMask
        unsafe files[number] = entry
        return UInt32(number)
    }

    /// An open file description of the engine's own for transfers through the page cache; or as the client opened it.
    private mutating func open(
        _ file: PeripheralFile, _ facts: cdma_file_facts, _ number: Int
    ) throws(DMAError) -> FileRecord {
        let kind = FileKind(format: facts.format)
        let isDirect = facts.flags & O_DIRECT != 0
        let isOther = file.cache != .asOpened && isDirect && kind.hasPositions
        let owned = isOther ? cdma_file_reopen(file.descriptor, false) : cdma_file_duplicate(file.descriptor)
        let descriptor = try FileDescriptor(KernelResult(owned))
        let handle = state.table.handle(descriptor, at: number * 2, state.carrier)
        var record = FileRecord(file: file, kind: kind, owned: descriptor, handle: handle)
        do throws(DMAError) {
            record.namespace = try NVMeNamespace.examine(descriptor, facts)
            // Its requests are twice as long as this ring's.
            if record.namespace != nil, !state.takesCommands {
                throw DMAError(.kernelRefused, errno: Errno.notSupportedOnSocket.rawValue)
            }
        } catch {
            state.table.clear(number * 2, state.carrier)
            ReleaseFailures.note(record.close())
            throw error
        }
        return record
    }

    /// A second open file description, with O_DIRECT. Where it cannot be opened, everything goes through the cache, and is
    /// counted.
    private mutating func openDirect(_ record: inout FileRecord, _ facts: cdma_file_facts, _ number: Int) {
        guard let owned = try? FileDescriptor(KernelResult(cdma_file_reopen(record.file.descriptor, true))) else {
            state.statistics.directRefusals += 1
            return
        }
        record.ownedDirect = owned
        record.direct = state.table.handle(owned, at: number * 2 + 1, state.carrier)
        func mask(_ alignment: UInt32) -> UInt64 {
            // Where the kernel does not report an alignment: one that all current devices accept.
            let known = alignment > 0 && alignment & (alignment - 1) == 0 ? UInt64(alignment) : 4096
            return known - 1
        }
        record.memoryMask = mask(facts.memory_alignment)
        record.readMask = mask(facts.offset_alignment)
        // Whole pages: a direct write that shares a page with a buffered one loses one of the two.
        record.writeMask = max(record.readMask, UInt64(cdma_page_size()) - 1)
    }

    /// The alignment of direct transfers with an attached file: of memory, and of positions and lengths of reads and of writes.
    /// Bytes; nil for a number that is not attached or has no direct description.
    public func directAlignment(of number: UInt32) -> (memory: UInt64, read: UInt64, write: UInt64)? {
        guard UInt64(number) < fileLimit, let record = state.table.records[Int(number)], record.direct != nil else {
            return nil
        }
        return (record.memoryMask + 1, record.readMask + 1, record.writeMask + 1)
    }

    /// Detaches a file.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy`; `kernelRefused` where the system reports only now that data written
    ///   before is lost. The file is detached even then.
    public mutating func detach(_ number: UInt32) throws(DMAError) {
        // SAFETY: the number is below `fileLimit`, the number of file entries.
        guard UInt64(number) < fileLimit, let record = state.table.records[Int(number)] else {
            throw DMAError(.noSuchPeripheral, asked: UInt64(number))
        }
        guard unsafe files[Int(number)].inFlight == 0 else { throw DMAError(.peripheralBusy, asked: UInt64(number)) }
        unsafe files[Int(number)] = FileEntry()
        state.table.records[Int(number)] = nil
        state.table.clear(Int(number) * 2, state.carrier)
        if record.direct != nil { state.table.clear(Int(number) * 2 + 1, state.carrier) }
        try record.close().get()
    }
}
