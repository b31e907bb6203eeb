// SPDX-License-Identifier: Apache-2.0
// Bytes of a mapped buffer can only be accessed between two syncs (rule 35).
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    try mapped.withCPUAccess { $0.byteCount }
}
