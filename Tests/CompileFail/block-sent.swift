// SPDX-License-Identifier: Apache-2.0
// A block stays where its pool is (rule 38).
// expect: type 'Block' does not conform to the 'Sendable' protocol
import DMACore

func needsSendable<T: Sendable & ~Copyable>(_ value: consuming T) {}

func misuse(block: consuming Block) {
    needsSendable(block)
}
