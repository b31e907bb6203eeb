// SPDX-License-Identifier: Apache-2.0

/// A mapping as it is lent: words about it, and a way to keep it.
///
/// A handle owns nothing. It is used while the owner of the mapping is borrowed, or while a ``Loan`` made from it is out.
// SAFETY: what a handle reads of a record does not change while the record has an owner or a loan; loans are counted by atomics.
@safe
struct MappingHandle: @unchecked Sendable {
    private let record: UnsafeMutablePointer<MappingRecord>

    /// The caller vouches for the use that is described above.
    // SAFETY: the pointer is kept; what is done with it is the caller's part.
    @unsafe
    init(_ record: UnsafeMutablePointer<MappingRecord>) { unsafe self.record = unsafe record }

    // SAFETY: the record has an owner or a loan: the user's part.
    var regionCount: Int { unsafe record.pointee.regionCount }

    /// Region `index`; none where there is none of that number.
    func words(at index: Int) -> RegionWords {
        // SAFETY: as above, and in bounds by this check.
        UInt(bitPattern: index) < UInt(bitPattern: regionCount) ? unsafe record.pointee.regions[index] : .none
    }

    // SAFETY: as above.
    func lend(writes: Bool) { unsafe Mapping.lend(record, writes: writes) }
    // SAFETY: as above: the loan that ends.
    func endLoan(writes: Bool) { unsafe Mapping.endLoan(record, writes: writes) }
}
