// SPDX-License-Identifier: Apache-2.0
// The bytes do not outlive the access.
import DMACore

func misuse(buffer: inout Buffer) {
    buffer.withMutableBytes { span in
        span.storeBytes(of: 1, as: UInt8.self)
    }
}
