// SPDX-License-Identifier: Apache-2.0
// A block's bytes do not outlive the access.
import DMACore

func misuse(block: borrowing Block) throws(DMAError) -> Int {
    try block.withBytes { $0.byteCount }
}
