// SPDX-License-Identifier: Apache-2.0

internal import DMATypes

/// Why a request is refused: the error number of its reply.
struct Refusal: Error, Equatable {
    let number: UInt32

    static let notThere = Refusal(number: 2)  // ENOENT
    static let failed = Refusal(number: 5)  // EIO
    static let busy = Refusal(number: 16)  // EBUSY
    static let exists = Refusal(number: 17)  // EEXIST
    static let invalid = Refusal(number: 22)  // EINVAL
    static let noRoom = Refusal(number: 28)  // ENOSPC
    static let unsupported = Refusal(number: 95)  // ENOTSUP

    init(number: UInt32) { self.number = number }

    /// Of a mapping that this process could not make or end.
    init(_ error: DMAError) {
        self =
            switch error.code {
            case .alreadyMapped: .exists
            case .notMapped: .notThere
            case .tooManyRegions, .outOfMemory: .noRoom
            case .regionInUse: .busy
            case .kernelRefused where error.errno > 0: Refusal(number: UInt32(error.errno))
            default: .invalid
            }
    }
}
