// SPDX-License-Identifier: Apache-2.0
// The memory of a ring cannot be replaced.
import DMADriverKit

func misuse(ring: consuming RingMemory<UInt64>) -> Int {
    let memory = ring.takeMemory()
    return memory.count
}
