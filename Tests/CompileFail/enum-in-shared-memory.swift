// SPDX-License-Identifier: Apache-2.0
// Memory that a device writes is read as a type for which every bit pattern is valid.
// expect: does not conform to protocol 'SharedPattern'
import DMADriverKit

enum Status: UInt8 { case idle, done }

func misuse(ring: borrowing RingMemory<Status>) {}
