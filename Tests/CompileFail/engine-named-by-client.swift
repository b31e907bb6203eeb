// SPDX-License-Identifier: Apache-2.0
// A client that does not import the kit cannot name an engine.
// expect: cannot find type 'Engine' in scope
import DMACore

func misuse<E: Engine & ~Copyable>(engine: borrowing E) {}
