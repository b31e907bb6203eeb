// SPDX-License-Identifier: Apache-2.0
// A region is lent by its cargo and cannot be kept (rule 6).
import DMACore

func misuse(mapped: borrowing MappedBuffer) -> () -> UInt64 {
    let kept = mapped.ranges
    return { kept.first?.count ?? 0 }
}
