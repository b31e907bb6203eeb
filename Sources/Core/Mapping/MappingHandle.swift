// SPDX-License-Identifier: Apache-2.0

/// A reference to a mapping for lending it: words about it, and functions that keep it alive.
///
/// A handle owns nothing. It is valid while the owner of the mapping is borrowed, or while a ``Loan`` made from it is out.
// SAFETY: what a handle reads of a record does not change while the record has an owner or a loan; loans are counted by atomics.
@safe
struct MappingHandle: @unchecked Sendable {
    private let record: UnsafeMutablePointer<MappingRecord>

    /// The caller guarantees that it is used only as described above.
    // SAFETY: the pointer is only stored; its use is the caller's responsibility.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>) { unsafe self.record = unsafe record }

    // SAFETY: the record has an owner or a loan, as the user guarantees.
    var regionCount: Int { unsafe record.pointee.regionCount }

    /// Region `index`; none where that number does not exist.
    func words(at index: Int) -> RegionWords {
        // SAFETY: as above, and in bounds by this check.
        UInt(bitPattern: index) < UInt(bitPattern: regionCount) ? unsafe record.pointee.regions[index] : .none
    }

    // SAFETY: as above.
    func lend(writes: Bool) { unsafe Mapping.lend(record, writes: writes) }
    // SAFETY: as above: the loan that ends.
    func endLoan(writes: Bool) { unsafe Mapping.endLoan(record, writes: writes) }
}
