// SPDX-License-Identifier: Apache-2.0
// A region is a claim of a live mapping (rule 33).
// expect: 'mapped' used after consume
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Region {
    let buffer = try mapped.unmap()
    _ = buffer.count
    return mapped.region(at: 0)
}
