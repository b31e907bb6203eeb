// SPDX-License-Identifier: Apache-2.0
// A mapping that may have failed is no mapping (rule 31).
// expect: value of type 'MapOutcome' has no member 'regionCount'
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) -> Int {
    buffer.map(for: domain, direction: .toDevice).regionCount
}
