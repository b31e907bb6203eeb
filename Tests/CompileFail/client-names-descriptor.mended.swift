// SPDX-License-Identifier: Apache-2.0
// A client uses operations: descriptors are for authors of engines.
import DMA
import DMADriverKit

func misuse(_ descriptor: Descriptor) -> UInt64 { descriptor.count }
