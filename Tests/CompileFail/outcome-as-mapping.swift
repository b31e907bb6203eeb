// SPDX-License-Identifier: Apache-2.0
// A mapping that may have failed is no mapping (rule 31).
// expect: value of type 'MapOutcome' has no member 'region'
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) -> Region {
    buffer.map(for: domain, direction: .toDevice).region(at: 0)
}
