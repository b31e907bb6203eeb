// SPDX-License-Identifier: Apache-2.0
// A region is lent by its cargo and cannot be kept (rule 6).
// expect: lifetime-dependent variable 'kept' escapes its scope
import DMACore

func misuse(mapped: borrowing MappedBuffer) -> () -> UInt64 {
    let kept = mapped.region(at: 0)
    return { kept.count }
}
