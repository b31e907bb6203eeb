// SPDX-License-Identifier: Apache-2.0
// A client uses finished transactions: completions are for authors of engines.
// expect: cannot find type 'Completion' in scope
import DMA

func misuse(_ completion: Completion) -> UInt32 { completion.tag }
