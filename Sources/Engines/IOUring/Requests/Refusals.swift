// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

// What the kernel refuses: for a moment, or for good.

extension IOUringEngine {
    /// Whether the kernel may grant later what it refuses with this error. Source: io_uring_enter(2), ERRORS.
    static func mayPass(_ errno: Errno) -> Bool {
        [.resourceTemporarilyUnavailable, .resourceBusy, .interrupted, .noMemory, .timeout].contains(errno)
    }

    /// Gives the ring up where waits are refused, the kernel has requests, and for some seconds none was taken and none has completed.
    mutating func loseIfStuck(_ errno: Errno) {
        // SAFETY: the words are the ring's, which the state holds, and accessed by atomics alone.
        guard state.carrier.isKernel, state.carrier.belongsToCaller, isBusy else { return }
        let taken = unsafe cdma_load_acquire32(view.submissionHead)
        let completed = unsafe cdma_load_acquire32(view.completionTail)
        let now = Deadline.now.nanoseconds
        guard let since = state.stuckSince, since.submissions == taken, since.completions == completed else {
            state.stuckSince = (now, taken, completed)
            return
        }
        let patience: Int64 = Self.mayPass(errno) ? 10_000_000_000 : 2_000_000_000
        if now - since.nanoseconds >= patience { detours.insert(.lost) }
    }

    /// Gives the ring up where the call that would deliver completions is refused for good, and nothing else delivers them.
    mutating func loseIfUndelivered(_ errno: Errno) {
        // SAFETY: as above.
        guard unsafe head == cdma_load_acquire32(view.completionTail) else { return }
        let carrier = state.carrier
        guard carrier.completesByCall, !Self.mayPass(errno), carrier.belongsToCaller, isBusy else { return loseIfStuck(errno) }
        detours.insert(.lost)
    }

    /// Whether the kernel's refusal to consume submissions is persistent: for a time that depends on `errno`, neither head has moved.
    mutating func lasts(_ errno: Errno) -> Bool {
        // The kernel's submission thread may consume queued entries at any time, so that none of them can be withdrawn.
        guard submissionMethod.kind != .kernelThread else { return false }
        // SAFETY: the word is the ring's, which the state holds.
        let taken = unsafe cdma_load_acquire32(view.submissionHead)
        let now = Deadline.now.nanoseconds
        let patience: Int64 =
            switch errno {
            case .resourceTemporarilyUnavailable, .resourceBusy, .interrupted: 10_000_000_000
            case .noMemory: 1_000_000_000
            default: 0
            }
        if let since = state.refusedSince, since.submissions == taken, since.completions == head {
            guard now - since.nanoseconds >= patience else { return false }
        } else {
            state.refusedSince = (now, taken, head)
            guard patience == 0 else { return false }
        }
        state.refusedSince = nil
        return true
    }

    /// Counts what the carrier refuses beside submissions; that it has nothing, or was interrupted, is no refusal.
    func note(_ result: KernelResult) {
        switch result.errno {
        case nil, .interrupted?, .timeout?, .resourceTemporarilyUnavailable?: break
        default: state.statistics.refusedCalls += 1
        }
    }
}
