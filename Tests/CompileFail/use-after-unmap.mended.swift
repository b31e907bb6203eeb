// SPDX-License-Identifier: Apache-2.0
// A mapping cannot be used after it has ended (rule 33).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let regions = mapped.regionCount
    let buffer = try mapped.unmap()
    _ = buffer.count
    return regions
}
