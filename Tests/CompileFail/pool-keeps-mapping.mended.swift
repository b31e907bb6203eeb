// SPDX-License-Identifier: Apache-2.0
// The memory of a pool is the pool's (rule 38).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let pool = try Pool(mapped, blockSize: 512)
    return pool.capacity
}
