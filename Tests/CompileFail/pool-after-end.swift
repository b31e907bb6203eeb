// SPDX-License-Identifier: Apache-2.0
// A pool that has ended leases nothing (rule 38).
// expect: 'pool' used after consume
import DMACore

func misuse(pool: consuming Pool) throws(DMAError) -> Block? {
    try pool.end()
    return pool.lease()
}
