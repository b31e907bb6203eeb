// SPDX-License-Identifier: Apache-2.0
// While it is mapped, a buffer is read between two syncs only (rule 35).
// expect: value of type 'MappedBuffer' has no member 'withBytes'
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    mapped.withBytes { $0.byteCount }
}
