// SPDX-License-Identifier: Apache-2.0
// The memory below a ring cannot be exchanged.
import DMADriverKit

func misuse(ring: consuming RingMemory<UInt64>) -> Int {
    let memory = ring.takeMemory()
    return memory.count
}
