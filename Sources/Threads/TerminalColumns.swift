// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The width of a terminal.
package enum TerminalColumns {
    /// The columns of the terminal behind a descriptor at this moment; nil where it is no terminal, or the terminal does not
    /// report them.
    package static func of(_ descriptor: Int32) -> Int? {
        let columns = cdma_terminal_columns(descriptor)
        return columns > 0 ? Int(columns) : nil
    }
}
