// SPDX-License-Identifier: Apache-2.0
// Every map can fail, and the returned buffer must be handled (rule 31).
// expect: switch must be exhaustive
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) -> Int {
    switch buffer.map(for: domain, direction: .toDevice) {
    case .mapped(let mapped): return mapped.count
    }
}
