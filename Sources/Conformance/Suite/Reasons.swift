// SPDX-License-Identifier: Apache-2.0

import DMACore

// The reasons why a check does not apply: the name of the missing capability, or of the missing part of the provisions.
extension SuiteRun where E: ~Copyable {
    /// The engine lacks this operation.
    func lacks(_ kind: OperationKind) -> String { "Capabilities.operations lacks .\(kind)" }

    /// No operation of the engine writes memory, so that its effect cannot be observed.
    var lacksWriting: String { "Capabilities.operations has none that writes memory" }

    /// One transaction at a time.
    var lacksDepth: String { "Capabilities.depth is 1" }

    /// The engine's author did not provide this part of ``ConformanceProvisions``.
    func lacks(provision name: String) -> String { "ConformanceProvisions.\(name) is absent" }

    /// Bus addresses differ from the CPU's, so that the suite cannot make a second domain for the same engine.
    var translated: String { "Domain has a translation, which sets the limits" }

    /// The engine's work has ended when the call that starts it returns: it is never in progress.
    var worksAtOnce: String { "the engine has finished its work when issuePending returns: no transaction is ever in progress" }
}
