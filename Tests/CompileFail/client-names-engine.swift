// SPDX-License-Identifier: Apache-2.0
// A client uses channels: the engine protocol is for authors of engines.
// expect: cannot find type 'Engine' in scope
import DMA

func misuse<E: Engine & ~Copyable>(_ engine: borrowing E) {}
