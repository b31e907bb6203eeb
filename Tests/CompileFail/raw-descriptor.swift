// SPDX-License-Identifier: Apache-2.0
// Raw addresses for an engine are unsafe.
// expect: uses unsafe constructs
import DMACore
import DMAEngineKit

func misuse() -> UInt64 {
    let descriptor = Descriptor(kind: .fill, destination: 0x1000, count: 64, value: 0x41)
    return descriptor.count
}
