// SPDX-License-Identifier: Apache-2.0
// A mapping that was ended has no regions (rule 33).
// expect: 'mapped' used after consume
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let buffer = try mapped.unmap()
    _ = buffer.count
    return mapped.regionCount
}
