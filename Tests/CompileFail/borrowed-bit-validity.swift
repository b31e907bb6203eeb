// SPDX-License-Identifier: Apache-2.0
// One type's claim of valid patterns is no claim for another.
// expect: cannot convert return expression of type
import DMADriverKit

enum Status: UInt8 { case idle, done }

extension Status: SharedPattern {
    static var bitValidity: EveryPattern<Status> { UInt8.bitValidity }
}
