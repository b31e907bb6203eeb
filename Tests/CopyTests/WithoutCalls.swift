// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore
import ForbiddenSystemCalls
import Foundation

/// Copies on a thread of its own, in which system calls answer errors: as where a file system or a sandbox has none of them.
func copying(
    _ source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions(), plan: CopyPlan? = nil,
    without calls: [(call: forbidden_call, errno: Int32)]
) throws -> Result<CopyReport, CopyFailure> {
    let answer = Locked<Result<CopyReport, CopyFailure>?>(nil)
    let isOver = DispatchSemaphore(value: 0)
    let numbers = calls.map { ($0.call.rawValue, $0.errno) }
    Thread {
        let isForbidden = numbers.allSatisfy { forbid_call(forbidden_call(rawValue: $0.0), $0.1) == 0 }
        if isForbidden {
            let result = Result { () throws(CopyFailure) in try Copier().copy(from: source, to: target, options, plan: plan) }
            answer.withLock { $0 = result }
        }
        isOver.signal()
    }.start()
    isOver.wait()
    guard let result = answer.withLock({ $0 }) else { throw Unforbidden() }
    return result
}

struct Unforbidden: Error, CustomStringConvertible {
    let description = "system calls cannot be forbidden here: seccomp(2) was refused"
}
