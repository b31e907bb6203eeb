// SPDX-License-Identifier: Apache-2.0
// A prepared transaction is submitted once (rule 4).
// expect: 'transaction' consumed more than once
import DMACore
import DMAEngineKit

typealias Two = Pair<MappedBuffer, MappedBuffer>

func misuse<E: Engine & ~Copyable>(
    channel: inout Channel<E, Two>, transaction: consuming Transaction<Two>
) throws(DMAError) -> Cookie {
    _ = try channel.submit(transaction).get()
    return try channel.submit(transaction).get()
}
