// SPDX-License-Identifier: Apache-2.0
// What a device writes is read as a type of which every bit pattern is valid.
// expect: does not conform to protocol 'SharedPattern'
import DMADriverKit

enum Status: UInt8 { case idle, done }

func misuse(ring: borrowing RingMemory<Status>) {}
