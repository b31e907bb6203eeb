// SPDX-License-Identifier: Apache-2.0
// Metadata is not readable after its descriptor's lifetime (rule 28).
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable>(channel: inout Channel<E, NoCargo>, cookie: Cookie) throws(DMAError) -> Int {
    try channel.withMetadata(of: cookie) { span in span.byteCount }
}
