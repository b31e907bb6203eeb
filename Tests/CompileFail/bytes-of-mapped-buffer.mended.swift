// SPDX-License-Identifier: Apache-2.0
// A mapped buffer can only be read between two syncs (rule 35).
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    try mapped.withCPUAccess { $0.byteCount }
}
