// SPDX-License-Identifier: Apache-2.0

import Foundation

/// This program once more, as another process that may trap.
struct Child {
    /// As a shell has it: 128 and the number for a signal.
    let code: Int32
    /// What it printed.
    let lines: [Substring]

    init(_ arguments: [String]) {
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        // A crash ends at once; the input is what is wanted.
        environment["SWIFT_BACKTRACE"] = environment["SWIFT_BACKTRACE"] ?? "enable=no"
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        do { try process.run() } catch {
            (code, lines) = (127, [])
            return
        }
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        code = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        lines = String(decoding: output, as: UTF8.self).split(separator: "\n")
    }
}
