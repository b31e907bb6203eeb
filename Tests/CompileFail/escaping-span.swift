// SPDX-License-Identifier: Apache-2.0
// The bytes do not outlive the access.
// expect: instance method 'withBytes' requires that 'RawSpan' conform to 'Escapable'
import DMACore

func misuse(buffer: borrowing Buffer) -> Int {
    let span: RawSpan = buffer.withBytes { $0 }
    return span.byteCount
}
