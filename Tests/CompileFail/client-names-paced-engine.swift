// SPDX-License-Identifier: Apache-2.0
// Pacing an engine is no part of asking for a channel: it is reached in the core.
// expect: cannot find type 'PacedEngine' in scope
import DMA

extension PacedEngine {
    func misuse() -> Bool { isGone }
}
