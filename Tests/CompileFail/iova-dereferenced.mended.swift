// SPDX-License-Identifier: Apache-2.0
// A bus address cannot be dereferenced (rule 29).
import DMACore

func misuse(iova: IOVA) -> UInt64 {
    iova.rawValue
}
