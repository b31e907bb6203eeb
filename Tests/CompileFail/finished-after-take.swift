// SPDX-License-Identifier: Apache-2.0
// A completion returns its cargo once.
// expect: 'finished' used after consume
import DMACore

typealias Two = Pair<MappedBuffer, MappedBuffer>

func misuse(finished: consuming Finished<Two>) -> Int {
    let cargo = finished.takeCargo()
    return cargo.first.count + finished.cargo.second.count
}
