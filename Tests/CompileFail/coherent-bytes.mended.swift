// SPDX-License-Identifier: Apache-2.0
// Shared memory is read and written in whole words only (rule 37).
import DMACore

func misuse(memory: inout CoherentBuffer) throws(DMAError) {
    try memory.store(1 as UInt32, at: 0)
}
