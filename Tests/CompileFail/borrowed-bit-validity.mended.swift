// SPDX-License-Identifier: Apache-2.0
// One type's claim of valid patterns is no claim for another.
import DMADriverKit

struct Status: SharedPattern {
    var word: UInt8
    static var bitValidity: EveryPattern<Status> { unsafe EveryPattern() }
}
