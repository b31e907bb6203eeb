// SPDX-License-Identifier: Apache-2.0
// The CPU writes a mapping only with exclusive access to it (rule 34).
// expect: cannot use mutating member on immutable value: 'mapped' is a 'let' constant
import DMACore

func misuse(mapped: borrowing MappedBuffer) throws(DMAError) {
    try mapped.withMutableCPUAccess { $0.storeBytes(of: 1, as: UInt8.self) }
}
