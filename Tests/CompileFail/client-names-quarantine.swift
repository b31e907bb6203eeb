// SPDX-License-Identifier: Apache-2.0
// Memory that a device may still write is managed by the core: it needs `import DMACore`.
// expect: cannot find type 'Quarantine' in scope
import DMA

func misuse(_ entry: Quarantine.Entry) -> UInt64 { entry.bytes }
