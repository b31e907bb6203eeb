// SPDX-License-Identifier: Apache-2.0
// A bus address cannot be dereferenced (rule 29).
// expect: no exact matches in call to initializer
import DMACore

func misuse(iova: IOVA) -> UnsafeRawPointer? {
    unsafe UnsafeRawPointer(bitPattern: iova)
}
