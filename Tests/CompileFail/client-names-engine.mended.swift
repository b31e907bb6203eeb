// SPDX-License-Identifier: Apache-2.0
// A client uses channels: the engine protocol is for authors of engines.
import DMA
import DMADriverKit

func misuse<E: Engine & ~Copyable>(_ engine: borrowing E) {}
