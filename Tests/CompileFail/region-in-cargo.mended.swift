// SPDX-License-Identifier: Apache-2.0
// A cargo cannot store a region of memory that it does not own.
import DMACore

struct Fresh: ~Copyable, Cargo {
    var mapped: MappedBuffer
    var regionCount: Int { 1 }
    @_lifetime(borrow self)
    func region(at index: Int) -> Region { mapped.region(at: index) }
}
