// SPDX-License-Identifier: Apache-2.0
// A mapping that was ended has no regions (rule 33).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let regions = mapped.regionCount
    let buffer = try mapped.unmap()
    _ = buffer.count
    return regions
}
