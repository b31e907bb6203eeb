// SPDX-License-Identifier: Apache-2.0
// A client uses finished transactions: completions are for authors of engines.
import DMA
import DMADriverKit

func misuse(_ completion: Completion) -> UInt32 { completion.tag }
