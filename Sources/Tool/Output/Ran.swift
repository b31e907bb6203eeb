// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore

/// What an engine runs on, in one sentence that every command uses.
enum Ran {
    /// The line of an engine of this machine; nil where there is none of that name.
    static func line(_ engine: String) -> String? {
        guard let listing = ToolSystem.forNames.engines.first(where: { $0.offer.name == engine }) else { return nil }
        return line(engine, listing.offer.capabilities.implementation, listing.offer.fallback)
    }

    /// "io_uring: by threads (io_uring: Operation not permitted). Cure: …"
    static func line(_ engine: String, _ implementation: String, _ fallback: EngineAbsence?) -> String {
        let by = implementation.isEmpty ? "code of its own" : implementation
        return "\(engine): by \(by)" + (fallback.map { ". Cure: \($0.cure)" } ?? "")
    }
}
