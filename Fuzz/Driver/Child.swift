// SPDX-License-Identifier: Apache-2.0

import Foundation

/// This program once more, as another process that may trap.
struct Child {
    /// As a shell has it: 128 and the number for a signal.
    let code: Int32
    /// What it printed.
    let lines: [Substring]

    /// - Parameter arguments: words without a quote.
    init(_ arguments: [String]) {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
        // A crash ends at once; the input is what is wanted. Not by Foundation's Process, which the leak checks report.
        let words = (["exec", "env", "SWIFT_BACKTRACE=enable=no", program] + arguments).map { "'\($0)'" }
        let command = words.joined(separator: " ").replacingOccurrences(of: "'exec'", with: "exec")
        // SAFETY: the stream is closed once, below, and not used after that.
        guard let stream = unsafe popen(command, "r") else {
            (code, lines) = (127, [])
            return
        }
        var output: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // SAFETY: the call writes at most the array's own length, and says how much of it.
            let count = unsafe fread(&piece, 1, piece.count, stream)
            if count == 0 { break }
            output += piece.prefix(count)
        }
        let status = unsafe pclose(stream)
        code = (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        lines = String(decoding: output, as: UTF8.self).split(separator: "\n")
    }
}
