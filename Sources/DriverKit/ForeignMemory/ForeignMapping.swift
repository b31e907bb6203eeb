// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMATypes

/// A part of a peer's file mapped in this process, until ``keep()`` transfers it to a table.
@safe
struct ForeignMapping: ~Copyable {
    /// The first byte in this process.
    let base: UInt
    let length: Int
    /// Whether a page may be removed, so that only the kernel may access it.
    let isUnstable: Bool

    /// The treatment of a file whose pages may be removed.
    enum Unstable { case refused, copied, trusted }

    /// Maps the file. The caller keeps the descriptor, which is not needed afterwards.
    ///
    /// - Throws: `outOfRange` beyond the end of the file, `misaligned`, `sizeOverflow`, `unstableFile`, `kernelRefused`.
    init(_ file: Int32, offset: UInt64, count: UInt64, access: DeviceAccess, unstable: Unstable) throws(DMAError) {
        // SAFETY: the C functions write local variables; only this value uses the mapping.
        var facts = cdma_foreign_file()
        let examined = unsafe cdma_foreign_examine(file, &facts)
        guard examined == 0 else { throw DMAError(.kernelRefused, errno: -examined) }
        guard offset % facts.page == 0 else { throw DMAError(.misaligned, asked: offset, limit: facts.page) }
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= facts.size else { throw DMAError(.outOfRange, asked: overflow ? .max : end, limit: facts.size) }
        let (sum, leaves) = count.addingReportingOverflow(facts.page - 1)
        guard !leaves, let length = Int(exactly: sum / facts.page * facts.page) else {
            throw DMAError(.sizeOverflow, asked: count, limit: UInt64(Int.max))
        }
        let mayGo = !facts.keeps_size || facts.is_huge
        if mayGo {
            guard unstable != .refused else { throw DMAError(.unstableFile) }
            if unstable == .copied { try Self.checkCopies() }
        }
        var start: UnsafeMutableRawPointer?
        let mapped = unsafe cdma_foreign_map(
            file, offset, length, access.contains(.read), access.contains(.write), &start)
        guard mapped == 0, let start = unsafe start else { throw DMAError(.kernelRefused, errno: -mapped) }
        base = UInt(bitPattern: start)
        self.length = length
        isUnstable = mayGo
    }

    /// Whether the kernel permits this process to copy with process_vm_readv(2): a seccomp profile may forbid it.
    private static func checkCopies() throws(DMAError) {
        // SAFETY: both are local variables of the size that is named.
        var (from, to): (UInt64, UInt64) = (1, 0)
        let copied = unsafe cdma_foreign_fetch(&to, &from, 8)
        guard copied == 8 else { throw DMAError(.kernelRefused, errno: copied < 0 ? Int32(-copied) : EFAULT) }
    }

    /// Transfers the mapping: the code that takes the address unmaps it.
    consuming func keep() { discard self }

    // SAFETY: mapped by `init`, and no other code uses the address.
    deinit { _ = unsafe cdma_unmap(UnsafeMutableRawPointer(bitPattern: base), length) }
}
