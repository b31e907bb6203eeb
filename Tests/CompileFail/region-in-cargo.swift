// SPDX-License-Identifier: Apache-2.0
// A cargo cannot store a region of memory that it does not own.
// expect: has non-Escapable type 'Region'
import DMACore

struct Stale: ~Copyable, Cargo {
    let kept: Region
    var regionCount: Int { 1 }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { kept }
}
