// SPDX-License-Identifier: Apache-2.0
// A period of a ring is lent inside the closure (rule 22).
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable>(ring: inout CyclicRing<E>) throws(DMAError) -> Int {
    let outcome = try ring.withNextPeriod { view -> Int in view.count }
    if case .intact(let count) = outcome { return count }
    return 0
}
