// SPDX-License-Identifier: Apache-2.0
// A CPU address is not a bus address (rule 29).
import DMACore

func misuse(address: UInt64) -> IOVA {
    IOVA(address)
}
