// SPDX-License-Identifier: Apache-2.0
// While it is mapped, a buffer is read between two syncs only (rule 35).
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    try mapped.withCPUAccess { $0.byteCount }
}
