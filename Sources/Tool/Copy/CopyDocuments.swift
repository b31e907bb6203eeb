// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore

// What `dmactl copy --json` prints: Schemas/copy.schema.json. `version` is raised when a field changes its meaning or is removed. Paths are
// written as `CopyPath.text`.

/// One copy that succeeded.
struct CopyDocument: Encodable {
    let version = 1
    let source: String
    let target: String
    let report: CopyReport

    init(_ source: CopyPath, _ target: CopyPath, _ report: CopyReport) {
        self.source = source.text
        self.target = target.text
        self.report = report
    }
}

/// One plan, of `--explain --json`; `--plan` reads it.
struct PlanDocument: Codable {
    var version = 1
    var source: String?
    var target: String?
    var plan: CopyPlan
}

/// One rescue that has ended, whole or not.
struct RescueDocument: Encodable {
    var version = 1
    let source: String
    let target: String
    let map: String
    let rescue: RescueReport
}

/// One rescue, of `--explain --json`.
struct RescuePlanDocument: Encodable {
    var version = 1
    let source: String
    let target: String
    let map: String
    let rescuePlan: RescuePlan
}

/// One copy, or one plan, that was refused, failed or was stopped.
struct FailureDocument: Encodable {
    struct Failure: Encodable {
        let code: CopyFailure.Code
        let subject: String
        let asked: String
        let possible: String
        let cure: String
        let errno: Int32
        let engine: String?
        let phase: CopyProgress.Phase
        let bytes: UInt64
        let notes: [String]
    }
    let version = 1
    let source: String
    let target: String
    let failure: Failure

    init(_ source: CopyPath, _ target: CopyPath, _ told: CopyFailure, _ progress: CopyProgress) {
        self.source = source.text
        self.target = target.text
        let failure = CopyWords.tell(told)
        self.failure = Failure(
            code: failure.code, subject: failure.subject, asked: failure.asked, possible: failure.possible, cure: failure.cure,
            errno: failure.errno, engine: failure.engine.map { "\($0.code)" }, phase: progress.phase, bytes: progress.bytes,
            notes: failure.notes)
    }
}

/// The files of a list, with the result of each.
struct CopyListDocument: Encodable {
    let version = 1
    let folder: String
    var copied: [CopyDocument] = []
    var failed: [FailureDocument] = []
}

/// The files of a list, and how each would be copied.
struct CopyPlanListDocument: Encodable {
    let version = 1
    let folder: String
    var plans: [PlanDocument] = []
    var failed: [FailureDocument] = []
}
