// SPDX-License-Identifier: Apache-2.0

import DMACore

// Why a check does not apply: by the name of the capability, or of the part of the provisions, that is absent.
extension SuiteRun where E: ~Copyable {
    /// The engine does not have this operation.
    func lacks(_ kind: OperationKind) -> String { "Capabilities.operations lacks .\(kind)" }

    /// No operation of the engine writes memory, so that nobody can see whether something ran.
    var lacksWriting: String { "Capabilities.operations has none that writes memory" }

    /// One transaction at a time.
    var lacksDepth: String { "Capabilities.depth is 1" }

    /// Whoever made the engine did not give the suite this part of ``ConformanceProvisions``.
    func lacks(provision name: String) -> String { "ConformanceProvisions.\(name) is absent" }

    /// Bus addresses are not the CPU's, so that the suite cannot make a second domain for the same engine.
    var translated: String { "Domain has a translation, which sets the limits" }

    /// The engine's work is over when the call that starts it returns: nothing is under way that could be looked at.
    var worksAtOnce: String { "the engine has done its work when issuePending returns: nothing is ever under way" }
}
