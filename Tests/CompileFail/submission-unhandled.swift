// SPDX-License-Identifier: Apache-2.0
// The result of a submission must be handled: a refusal contains the cargo (rule 4).
// expect: result of call to 'submit' is unused
import DMACore
import DMAEngineKit

typealias Two = Pair<MappedBuffer, MappedBuffer>

func misuse<E: Engine & ~Copyable>(channel: inout Channel<E, Two>, cargo: consuming Two) {
    channel.submit(.copy(), cargo)
}
