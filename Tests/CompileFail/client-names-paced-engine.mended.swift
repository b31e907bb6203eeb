// SPDX-License-Identifier: Apache-2.0
// Pacing an engine is not part of requesting a channel: it needs `import DMACore`.
import DMA
import DMACore

extension PacedEngine {
    func misuse() -> Bool { isGone }
}
