// SPDX-License-Identifier: Apache-2.0
// A buffer's bytes cannot be accessed after it was mapped (rule 34).
// expect: 'buffer' used after consume
import DMACore

func misuse(domain: Domain) throws(DMAError) -> Int {
    let buffer = try Buffer(count: 4096)
    let mapped = try buffer.mapped(for: domain, direction: .toDevice)
    return buffer.count + mapped.count
}
