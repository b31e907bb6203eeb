// SPDX-License-Identifier: Apache-2.0
// The claim that every bit pattern is valid applies to one type only.
import DMADriverKit

struct Status: SharedPattern {
    var word: UInt8
    static var bitValidity: EveryPattern<Status> { unsafe EveryPattern() }
}
