// SPDX-License-Identifier: Apache-2.0
// A buffer's bytes cannot be accessed after it was mapped (rule 34).
import DMACore

func misuse(domain: Domain) throws(DMAError) -> Int {
    let buffer = try Buffer(count: 4096)
    let count = buffer.count
    let mapped = try buffer.mapped(for: domain, direction: .toDevice)
    return count + mapped.count
}
