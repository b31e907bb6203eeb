// SPDX-License-Identifier: Apache-2.0
// A mapping cannot be used after it has ended (rule 33).
// expect: 'mapped' used after consume
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let buffer = try mapped.unmap()
    _ = buffer.count
    return mapped.regionCount
}
