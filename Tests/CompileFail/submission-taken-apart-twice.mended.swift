// SPDX-License-Identifier: Apache-2.0
// The cargo of a refusal can be taken once (rule 4).
import DMACore

typealias Two = Pair<MappedBuffer, MappedBuffer>

func cargo(_ submission: consuming Submission<Two>) -> Two? {
    switch consume submission {
    case .queued: return nil
    case .refused(_, let cargo): return cargo
    }
}

func misuse(submission: consuming Submission<Two>) -> Int {
    guard let cargo = cargo(submission) else { return 0 }
    return cargo.first.count + cargo.second.count
}
