// SPDX-License-Identifier: Apache-2.0
// A span keeps its buffer borrowed: it cannot be mapped meanwhile.
// expect: overlapping accesses to 'buffer'
import DMACore

func misuse(buffer: consuming Buffer, domain: Domain) throws(DMAError) -> Int {
    let span = buffer.bytes
    let mapped = try buffer.mapped(for: domain, direction: .toDevice)
    return span.byteCount + mapped.count
}
