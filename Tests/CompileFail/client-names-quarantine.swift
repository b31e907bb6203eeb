// SPDX-License-Identifier: Apache-2.0
// What a device may still write is the core's business: it is reached there.
// expect: cannot find type 'Quarantine' in scope
import DMA

func misuse(_ entry: Quarantine.Entry) -> UInt64 { entry.bytes }
