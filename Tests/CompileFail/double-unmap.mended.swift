// SPDX-License-Identifier: Apache-2.0
// A mapping ends once (rule 33).
import DMACore

func misuse(mapped: consuming MappedBuffer) throws(DMAError) -> Int {
    let first = try mapped.unmap()
    return first.count
}
