// SPDX-License-Identifier: Apache-2.0
// A client uses operations: descriptors are for authors of engines.
// expect: cannot find type 'Descriptor' in scope
import DMA

func misuse(_ descriptor: Descriptor) -> UInt64 { descriptor.count }
