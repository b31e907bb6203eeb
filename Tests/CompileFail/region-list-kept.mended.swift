// SPDX-License-Identifier: Apache-2.0
// An operand list is lent by its cargo and cannot be kept (rule 6).
import DMACore

func misuse(block: borrowing Block) -> () -> Int {
    let kept = block.regionList.count
    return { kept }
}
