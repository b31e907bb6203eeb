// SPDX-License-Identifier: Apache-2.0
// A ring cannot be used after it was stopped (rule 22).
// expect: 'ring' used after consume
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable>(ring: consuming CyclicRing<E>) throws(DMAError) -> UInt64 {
    let memory = try ring.stop().takeMemory()
    return try ring.completed() + UInt64(memory.count)
}
