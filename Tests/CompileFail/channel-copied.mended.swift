// SPDX-License-Identifier: Apache-2.0
// A channel is exclusive (rule 1).
import DMACore
import DMAEngineKit

typealias Two = Pair<MappedBuffer, MappedBuffer>

func keep<E: Engine & ~Copyable>(_ channel: consuming Channel<E, Two>) {}

func misuse<E: Engine & ~Copyable>(channel: consuming Channel<E, Two>) {
    keep(channel)
}
