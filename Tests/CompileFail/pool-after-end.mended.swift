// SPDX-License-Identifier: Apache-2.0
// A pool that has ended leases nothing (rule 38).
import DMACore

func misuse(pool: consuming Pool) throws(DMAError) -> Int {
    let count = pool.capacity
    try pool.end()
    return count
}
