// SPDX-License-Identifier: Apache-2.0
// A list's bytes cannot be accessed after it was mapped (rule 34).
// expect: 'list' used after consume
import DMACore

func misuse(list: consuming ScatterList, domain: Domain) throws(DMAError) -> Int {
    let mapped = try list.mapped(for: domain, direction: .toDevice)
    return list.bufferCount + mapped.regionCount
}
