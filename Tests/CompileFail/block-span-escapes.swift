// SPDX-License-Identifier: Apache-2.0
// A block's bytes do not outlive the access.
// expect: instance method 'withBytes' requires that 'RawSpan' conform to 'Escapable'
import DMACore

func misuse(block: borrowing Block) throws(DMAError) -> Int {
    let span: RawSpan = try block.withBytes { $0 }
    return span.byteCount
}
