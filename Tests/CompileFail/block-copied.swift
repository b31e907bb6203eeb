// SPDX-License-Identifier: Apache-2.0
// A block has one owner.
// expect: 'block' is borrowed and cannot be consumed
import DMACore

func misuse(block: borrowing Block) -> Block {
    block
}
