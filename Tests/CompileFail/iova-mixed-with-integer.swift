// SPDX-License-Identifier: Apache-2.0
// Bus addresses and numbers do not mix (rule 29).
// expect: requires that 'IOVA' conform to 'BinaryInteger'
import DMACore

func misuse(region: Region, address: UInt64) -> Bool {
    region.start == address
}
