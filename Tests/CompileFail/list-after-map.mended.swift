// SPDX-License-Identifier: Apache-2.0
// A list's bytes cannot be accessed after it was mapped (rule 34).
import DMACore

func misuse(list: consuming ScatterList, domain: Domain) throws(DMAError) -> Int {
    let count = list.bufferCount
    let mapped = try list.mapped(for: domain, direction: .toDevice)
    return count + mapped.regionCount
}
