// SPDX-License-Identifier: Apache-2.0
// Memory in flight can be read only after its completion was taken (rules 6 and 34).
import DMACore
import DMAEngineKit

typealias Two = Pair<MappedBuffer, MappedBuffer>

func misuse<E: Engine & ~Copyable>(
    channel: inout Channel<E, Two>, source: consuming MappedBuffer, target: consuming MappedBuffer
) throws(DMAError) -> Int {
    _ = try channel.submit(.copy(), Pair(source, target)).get()
    channel.issuePending()
    guard let finished = channel.next() else { return 0 }
    return try finished.cargo.second.withCPUAccess { span throws(DMAError) in span.byteCount }
}
