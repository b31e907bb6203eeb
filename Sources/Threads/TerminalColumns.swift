// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// How wide a terminal is.
package enum TerminalColumns {
    /// Of the terminal that a descriptor leads to, at this moment; nil where it leads to none, or none that knows.
    package static func of(_ descriptor: Int32) -> Int? {
        let columns = cdma_terminal_columns(descriptor)
        return columns > 0 ? Int(columns) : nil
    }
}
