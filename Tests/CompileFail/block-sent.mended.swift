// SPDX-License-Identifier: Apache-2.0
// A block stays where its pool is (rule 38).
import DMACore

func needsSendable<T: Sendable & ~Copyable>(_ value: consuming T) {}

func misuse(mapped: consuming MappedBuffer) {
    needsSendable(mapped)
}
