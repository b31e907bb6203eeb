// SPDX-License-Identifier: Apache-2.0
// A pool owns its memory (rule 38).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let pool = try Pool(mapped, blockSize: 512)
    return pool.capacity
}
