// SPDX-License-Identifier: Apache-2.0
// The outcome of a map cannot be used as a mapping (rule 31).
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) throws(DMAError) -> UInt64 {
    try buffer.map(for: domain, direction: .toDevice).get().region(at: 0).count
}
