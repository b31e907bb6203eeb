// SPDX-License-Identifier: Apache-2.0

import DMAQTestAccess
import DMATestSupport
import Foundation

extension Machine {
    static let hasQEMU = has("qemu-system-x86_64")
    static let withoutQEMU = "qemu-system-x86_64 is not installed; Debian: apt-get install qemu-system-x86"
}

/// A program that stands in for QEMU: what a test makes it do.
struct FakeQEMU {
    let path: String
    private let scratch: Scratch

    /// - Parameter script: lines of sh(1), after `--version` was answered; the socket is descriptor `$FD`.
    init(version: String = "QEMU emulator version 7.2.22 (fake)", _ script: String) throws {
        scratch = try Scratch()
        path = scratch.at("qemu")
        // Python speaks to the socket, whose number stands in the arguments.
        let text = """
            #!/bin/bash
            if [ "$1" = --version ]; then echo "\(version)"; exit 0; fi
            for word in "$@"; do case $word in socket,id=qtest,fd=*) FD=${word##*=};; esac; done
            \(script)
            """
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    var configuration: QTestConfiguration {
        var configuration = QTestConfiguration()
        configuration.program = path
        configuration.memory = 2 << 20
        configuration.patience = .seconds(4)
        return configuration
    }

    /// Answers so many lines, as they come, and then does something else.
    static func answering(_ answers: [String], then rest: String) -> String {
        answers.map { "read -r line <&$FD; printf '\($0)\\n' >&$FD" }.joined(separator: "\n") + "\n" + rest
    }
}

/// Descriptors and children of this process.
enum Own {
    static var descriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }

    static func exists(_ process: Int32) -> Bool { FileManager.default.fileExists(atPath: "/proc/\(process)") }

    /// Whether a process is there and no zombie.
    static func runs(_ process: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
        return !text.contains(") Z ")
    }

    /// Waits ten seconds at most.
    static func waits(_ condition: () -> Bool) -> Bool {
        for _ in 0..<1000 {
            if condition() { return true }
            usleep(10_000)
        }
        return condition()
    }
}
