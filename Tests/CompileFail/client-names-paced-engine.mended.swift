// SPDX-License-Identifier: Apache-2.0
// Pacing an engine is no part of asking for a channel: it is reached in the core.
import DMA
import DMACore

extension PacedEngine {
    func misuse() -> Bool { isGone }
}
