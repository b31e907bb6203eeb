// SPDX-License-Identifier: Apache-2.0
// A region is a claim of a live mapping (rule 33).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> UInt64 {
    let region = mapped.region(at: 0)
    let buffer = try mapped.unmap()
    _ = buffer.count
    return region.count
}
