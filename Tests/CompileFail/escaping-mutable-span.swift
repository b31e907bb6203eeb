// SPDX-License-Identifier: Apache-2.0
// The bytes do not outlive the access.
// expect: instance method 'withMutableBytes' requires that 'MutableRawSpan' conform to 'Escapable'
import DMACore

func misuse(buffer: inout Buffer) -> Int {
    let span: MutableRawSpan = buffer.withMutableBytes { $0._mutatingExtracting(0..<1) }
    return span.byteCount
}
