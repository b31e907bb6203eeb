// SPDX-License-Identifier: Apache-2.0
// Bytes of a mapped buffer can only be accessed between two syncs (rule 35).
// expect: instance method 'withCPUAccess' requires that 'RawSpan' conform to 'Escapable'
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) -> Int {
    let span: RawSpan = try mapped.withCPUAccess { $0 }
    return span.byteCount
}
