// SPDX-License-Identifier: Apache-2.0
// The claim that every bit pattern is valid applies to one type only.
// expect: cannot convert return expression of type
import DMADriverKit

enum Status: UInt8 { case idle, done }

extension Status: SharedPattern {
    static var bitValidity: EveryPattern<Status> { UInt8.bitValidity }
}
