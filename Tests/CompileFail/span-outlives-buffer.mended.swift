// SPDX-License-Identifier: Apache-2.0
// A span keeps its buffer borrowed: it cannot be mapped meanwhile.
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) throws(DMAError) -> Int {
    let length = buffer.bytes.byteCount
    let mapped = try buffer.mapped(for: domain, direction: .toDevice)
    return length + mapped.count
}
