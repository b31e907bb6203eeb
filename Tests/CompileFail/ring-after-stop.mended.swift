// SPDX-License-Identifier: Apache-2.0
// A ring cannot be used after it was stopped (rule 22).
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable>(ring: consuming CyclicRing<E>) throws(DMAError) -> UInt64 {
    let completed = try ring.completed()
    let memory = try ring.stop().takeMemory()
    return completed + UInt64(memory.count)
}
