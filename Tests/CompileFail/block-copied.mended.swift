// SPDX-License-Identifier: Apache-2.0
// A block has one owner.
import DMACore

func misuse(block: consuming Block) -> Block {
    block
}
