// SPDX-License-Identifier: Apache-2.0
// A mapped buffer can only be read between two syncs (rule 35).
// expect: value of type 'MappedBuffer' has no member 'withBytes'
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    mapped.withBytes { $0.byteCount }
}
