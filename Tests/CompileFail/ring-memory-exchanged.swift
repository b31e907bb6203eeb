// SPDX-License-Identifier: Apache-2.0
// The memory below a ring cannot be exchanged.
// expect: 'coherent' is inaccessible due to 'internal' protection level
import DMADriverKit

func misuse(ring: inout RingMemory<UInt64>, other: consuming CoherentBuffer) {
    ring.coherent = other
}
