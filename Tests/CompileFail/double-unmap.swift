// SPDX-License-Identifier: Apache-2.0
// A mapping ends once (rule 33).
// expect: 'mapped' consumed more than once
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let first = try mapped.unmap()
    let second = try mapped.unmap()
    return first.count + second.count
}
