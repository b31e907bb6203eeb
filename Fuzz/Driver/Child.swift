// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Runs this program again, as another process that may trap.
struct Child {
    /// The exit code as in a shell: 128 plus the number for a signal.
    let code: Int32
    /// Its output.
    let lines: [Substring]

    /// - Parameter arguments: words without a quote.
    init(_ arguments: [String]) {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
        // A crash ends at once; only the input is needed. Not with Foundation's Process, which the leak checks report.
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
