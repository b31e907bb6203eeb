// SPDX-License-Identifier: Apache-2.0
// Pacing an engine is not part of requesting a channel: it needs `import DMACore`.
// expect: cannot find type 'PacedEngine' in scope
import DMA

extension PacedEngine {
    func misuse() -> Bool { isGone }
}
