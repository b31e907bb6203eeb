// SPDX-License-Identifier: Apache-2.0
// The CPU writes a mapping only with exclusive access to it (rule 34).
import DMACore

func misuse(mapped: inout MappedBuffer) throws(DMAError) {
    try mapped.withMutableCPUAccess { $0.storeBytes(of: 1, as: UInt8.self) }
}
