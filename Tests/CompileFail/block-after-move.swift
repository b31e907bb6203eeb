// SPDX-License-Identifier: Apache-2.0
// A block cannot be used after it was moved (rule 6).
// expect: 'block' used after consume
import DMACore

func give(_ block: consuming Block) {}

func misuse(block: consuming Block) -> Int {
    give(block)
    return block.count
}
