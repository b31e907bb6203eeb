// SPDX-License-Identifier: Apache-2.0
// A channel that carries blocks stays where their pool is (rule 38).
// expect: does not conform to the 'Sendable' protocol
import DMACore

func needsSendable<T: Sendable & ~Copyable>(_ value: consuming T) {}

func misuse(finished: consuming Finished<Block>) {
    needsSendable(finished)
}
