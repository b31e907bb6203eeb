// SPDX-License-Identifier: Apache-2.0
// Metadata is not readable after its descriptor's lifetime (rule 28).
// expect: requires that 'RawSpan' conform to 'Escapable'
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable>(channel: inout Channel<E, NoCargo>, cookie: Cookie) throws(DMAError) -> Int {
    let kept = try channel.withMetadata(of: cookie) { (span: inout MutableRawSpan) -> RawSpan in span.bytes }
    return kept.byteCount
}
