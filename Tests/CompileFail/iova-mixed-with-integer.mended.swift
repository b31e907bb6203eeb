// SPDX-License-Identifier: Apache-2.0
// Bus addresses and numbers do not mix (rule 29).
import DMACore

func misuse(region: Region, address: UInt64) -> Bool {
    region.start == IOVA(address)
}
