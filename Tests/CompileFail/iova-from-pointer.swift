// SPDX-License-Identifier: Apache-2.0
// A CPU address is not a bus address (rule 29).
// expect: cannot convert value of type 'UnsafeMutableRawPointer' to expected argument type 'UInt64'
import DMACore

func misuse(address: UnsafeMutableRawPointer) -> IOVA {
    IOVA(address)
}
