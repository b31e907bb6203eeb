// SPDX-License-Identifier: Apache-2.0
// The bytes do not outlive the access.
import DMACore

func misuse(buffer: borrowing Buffer) -> Int {
    buffer.withBytes { $0.byteCount }
}
