// SPDX-License-Identifier: Apache-2.0
// After submit the channel owns the cargo (rule 6).
// expect: 'cargo' used after consume
import DMACore
import DMAEngineKit

typealias Two = Pair<MappedBuffer, MappedBuffer>

func misuse<E: Engine & ~Copyable>(channel: inout Channel<E, Two>, cargo: consuming Two) throws(DMAError) -> Int {
    let cookie = try channel.submit(.copy(), cargo).get()
    return cargo.first.count + Int(cookie.rawValue)
}
