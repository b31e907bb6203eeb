// SPDX-License-Identifier: Apache-2.0
// A block that was given away is out of reach (rule 6).
import DMACore

func give(_ block: consuming Block) {}

func misuse(block: consuming Block) -> Int {
    let count = block.count
    give(block)
    return count
}
