// SPDX-License-Identifier: Apache-2.0
// The outcome of a map cannot be used as a mapping (rule 31).
// expect: value of type 'MapOutcome' has no member 'regionCount'
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) -> Int {
    buffer.map(for: domain, direction: .toDevice).regionCount
}
