// SPDX-License-Identifier: Apache-2.0
// A block cannot be used after it was moved (rule 6).
import DMACore

func give(_ block: consuming Block) {}

func misuse(block: consuming Block) -> Int {
    let count = block.count
    give(block)
    return count
}
