// SPDX-License-Identifier: Apache-2.0
// What a device writes is read as a type of which every bit pattern is valid.
import DMADriverKit

func misuse(ring: borrowing RingMemory<UInt8>) {}
