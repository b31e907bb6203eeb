// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// What the program was called with, by the C library: for a machine without /proc, where Swift finds no arguments.
package enum ProgramArguments {
    /// The program's name and its arguments; empty where the C library does not tell.
    package static var all: [String] {
        var words: [String] = []
        // SAFETY: the strings are the process's own arguments, which stay as they are for its whole life; each is copied at once.
        while let text = unsafe cdma_argument(Int32(clamping: words.count)) { words.append(unsafe String(cString: text)) }
        return words
    }
}
