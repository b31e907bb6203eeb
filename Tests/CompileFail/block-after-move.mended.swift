// SPDX-License-Identifier: Apache-2.0
// A block that was given away is out of reach (rule 6).
import DMACore

func give(_ block: consuming Block) {}

func misuse(block: consuming Block) -> UInt64 {
    let region = block.region(at: 0)
    give(block)
    return region.count
}
