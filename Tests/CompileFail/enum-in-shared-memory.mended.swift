// SPDX-License-Identifier: Apache-2.0
// Memory that a device writes is read as a type for which every bit pattern is valid.
import DMADriverKit

func misuse(ring: borrowing RingMemory<UInt8>) {}
