// SPDX-License-Identifier: Apache-2.0
// The memory of a ring cannot be replaced.
// expect: 'coherent' is inaccessible due to 'internal' protection level
import DMADriverKit

func misuse(ring: inout RingMemory<UInt64>, other: consuming CoherentBuffer) {
    ring.coherent = other
}
