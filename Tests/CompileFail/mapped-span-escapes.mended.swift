// SPDX-License-Identifier: Apache-2.0
// Bytes of a mapped buffer are reached between two syncs only (rule 35).
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    try mapped.withCPUAccess { $0.byteCount }
}
