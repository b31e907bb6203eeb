// SPDX-License-Identifier: Apache-2.0
// A pool owns its memory (rule 38).
// expect: 'mapped' consumed more than once
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let pool = try Pool(mapped, blockSize: 512)
    _ = try mapped.unmap()
    return pool.capacity
}
