// SPDX-License-Identifier: Apache-2.0
// Shared memory is read and written in whole words only (rule 37).
// expect: has no member 'withMutableBytes'
import DMACore

func misuse(memory: inout CoherentBuffer) {
    memory.withMutableBytes { _ in }
}
