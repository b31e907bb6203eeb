// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import DMATypes

/// The machine's memory: a memfd that QEMU has mapped as well. A machine's address is the offset into it.
// SAFETY: the pointer never changes, and what is there is reached by copies and by volatile words.
@safe
final class GuestMemory: @unchecked Sendable {
    let descriptor: Int32
    let count: UInt64
    private let base: UnsafeMutableRawPointer
    private let generation = cdma_fork_generation()

    init(_ count: UInt64) throws(QTestError) {
        guard let length = Int(exactly: count) else { throw QTestError(.badConfiguration, "\(count) bytes of memory") }
        // SAFETY: the mapping is this object's own until `deinit`.
        let made = unsafe cdma_shared_memory("swift-dma-guest", length, 0)
        guard made >= 0 else { throw QTestError(.noResources, "no memory file of \(count) bytes: \(DMAError.sentence(-made))") }
        var start: UnsafeMutableRawPointer?
        let mapped = unsafe cdma_map_file(made, 0, length, &start)
        guard mapped == 0, let start = unsafe start else {
            _ = cdma_close(made)
            throw QTestError(.noResources, "cannot map \(count) bytes: \(DMAError.sentence(-mapped))")
        }
        _ = unsafe cdma_do_not_inherit(start, length)
        descriptor = made
        self.count = count
        unsafe base = start
    }

    deinit {
        // SAFETY: mapped by `init`, and no other reference to the object exists. In a child of fork(2) it is not mapped.
        if cdma_fork_generation() == generation { _ = unsafe cdma_unmap(base, Int(count)) }
        _ = cdma_close(descriptor)
    }

    /// Whether a range lies inside.
    func contains(_ start: UInt64, _ length: UInt64) -> Bool { length <= count && start <= count - length }

    /// Takes a word of 32 bits that a device may write, and leaves 0: 0 where it is not inside, or not aligned.
    func take(_ address: UInt64) -> UInt32 {
        guard contains(address, 4), address % 4 == 0 else { return 0 }
        // SAFETY: the word lies inside the mapping and is aligned. The read first: what is 0 is not written.
        let word = unsafe base + Int(address)
        return unsafe cdma_volatile_load32(word) == 0 ? 0 : cdma_exchange32(word, 0)
    }

    /// Writes a word that a device may read, after everything that was written before; false where it is not inside, or not aligned.
    func put(_ value: UInt64, at address: UInt64) -> Bool {
        guard contains(address, 8), address % 8 == 0 else { return false }
        // SAFETY: the word lies inside the mapping and is aligned.
        unsafe cdma_store_release64(base + Int(address), value)
        return true
    }

    /// Copies bytes of this process into the memory.
    ///
    /// Unsafe: the caller vouches for `length` bytes at `from`.
    @unsafe
    func fill(_ address: UInt64, from: UnsafeRawPointer, _ length: UInt64) -> Bool {
        guard contains(address, length) else { return false }
        // SAFETY: both ranges are inside, by the check and by the caller's word.
        unsafe cdma_copy_volatile(base + Int(address), from, Int(length))
        return true
    }

    /// Copies bytes of the memory into a file, and clears them here. 0, or an errno.
    func empty(_ address: UInt64, _ length: UInt64, into file: Int32, _ offset: UInt64) -> Int32 {
        guard contains(address, length) else { return 14 }
        // SAFETY: the range is inside. The kernel copies.
        let put = unsafe cdma_put_file(file, base + Int(address), Int(length), offset)
        if put == 0 { unsafe (base + Int(address)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(length)) }
        return -put
    }
}

/// Lets the machine's devices reach memory of this process, without an IOMMU: pages that are mapped for them become pages of the machine's memory.
///
/// The bus address is the machine's address. For as long as it is mapped, the client's pages are those of the machine at that address: their bytes are
/// copied there at map, and this process's page table is changed (mmap(2), MAP_FIXED), so that CPU and device see the same bytes at the same time. At
/// unmap the bytes go back into the client's own file and the pages with them. So a device that still writes afterwards reaches the machine's memory and
/// nothing of this process's; and one that was never given an address reaches nothing either.
///
/// What there is not, without an IOMMU: a device may write what was mapped for reading, while it is mapped.
///
/// Only memory with a file behind it can be exchanged and put back: an address space over this backend allocates such memory, and bounces other.
final class GuestBackend: MappingBackend {
    private struct Entry {
        let count: UInt64
        let address: UInt64
        let file: Int32
        let offset: UInt64
    }

    private let memory: GuestMemory
    private let process: QEMUProcess
    private let entries = Locked<[UInt64: Entry]>([:])

    init(_ memory: GuestMemory, _ process: QEMUProcess) {
        self.memory = memory
        self.process = process
    }

    // Mappings hold the address space, which holds this: none is left.
    deinit { entries.withLock { for entry in $0.values { _ = cdma_close(entry.file) } } }

    var needs: SourceNeeds { .descriptor }
    /// Its devices end with the machine.
    var isDead: Bool { process.hasEnded }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        let bus = iova.rawValue
        guard source.kind == .file || source.kind == .dmaBuffer, source.descriptor >= 0, source.address != 0 else {
            throw DMAError(.noFileDescriptor, asked: source.address)
        }
        guard count > 0, memory.contains(bus, count), let length = Int(exactly: count),
            let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(source.address))
        else { throw DMAError(.backendFailed, asked: bus, errno: 14) }
        try entries.withLock { (entries) throws(DMAError) in
            // A page has one place in the machine at a time.
            if entries.contains(where: {
                $0.key < bus + count && bus < $0.key + $0.value.count
                    || $0.value.address < source.address + count && source.address < $0.value.address + $0.value.count
            }) {
                throw DMAError(.alreadyMapped, asked: source.address)
            }
            let file = cdma_duplicate(source.descriptor)
            guard file >= 0 else { throw DMAError(.backendFailed, asked: bus, errno: -file) }
            // SAFETY: the address space keeps `count` bytes at the address valid until `unmap` has returned; they are whole pages of a file that only
            // this process's owner of the memory reaches, and he has given them up to the device. Replacing the pages changes no byte.
            var failure: Int32 = 14
            if unsafe memory.fill(bus, from: start, count) {
                failure = unsafe -cdma_replace_pages(start, length, memory.descriptor, bus)
            }
            guard failure == 0 else {
                _ = cdma_close(file)
                throw DMAError(.backendFailed, asked: bus, errno: failure)
            }
            entries[bus] = Entry(count: count, address: source.address, file: file, offset: source.offset)
        }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        let bus = iova.rawValue
        return try entries.withLock { (entries) throws(DMAError) -> UInt64 in
            guard let entry = entries[bus], let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.address)) else {
                throw DMAError(.notMapped, asked: bus)
            }
            guard entry.count == count else { return entry.count }
            // SAFETY: as for `map`: the pages are still the mapping's own. First the file has the bytes, then its pages come back.
            let put = memory.empty(bus, count, into: entry.file, entry.offset)
            guard put == 0 else { throw DMAError(.backendFailed, asked: bus, errno: put) }
            let failure = unsafe -cdma_replace_pages(start, Int(count), entry.file, entry.offset)
            guard failure == 0 else { throw DMAError(.backendFailed, asked: bus, errno: failure) }
            _ = cdma_close(entry.file)
            entries[bus] = nil
            return count
        }
    }
}
