// SPDX-License-Identifier: Apache-2.0
// A client sees finished transactions: what an engine reports is for authors of engines.
import DMA
import DMADriverKit

func misuse(_ completion: Completion) -> UInt32 { completion.tag }
