// SPDX-License-Identifier: Apache-2.0

import DMATestSupport
import Foundation
import Testing

@Suite("Completions of the shells", .serialized)
struct CompletionTests {
    private static func withoutShell(_ shell: String) -> Comment {
        Comment(rawValue: "\(shell) is not installed; run Scripts/setup --tests")
    }

    /// Where the shells are looked for.
    private static func path(_ shell: String) -> String? {
        ["/usr/bin/\(shell)", "/bin/\(shell)"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// The script for a shell, in a file.
    private func script(_ shell: String, _ body: (String) throws -> Void) throws {
        let ran = try Program.run(["--generate-completion-script", shell])
        #expect(ran.status == 0)
        for word in ["bench", "list", "test", "max-channels"] { #expect(ran.output.contains(word)) }
        let scratch = try Scratch()
        try body(try scratch.write("completions", Array(ran.output.utf8)))
    }

    private func reads(_ shell: String) throws {
        let program = try #require(Self.path(shell))
        try script(shell) { file in
            let ran = try Command.run([program, "-n", file])
            #expect(ran.status == 0 && ran.errors.isEmpty, "\(ran.errors)")
        }
    }

    /// - Parameter asked: what the program itself is asked for, beside what the script knows.
    private func completes(_ shell: String, _ asked: [([String], String)], words: (String, [String]) -> [String]) throws {
        let program = try #require(Self.path(shell))
        let search = URL(filePath: Program.dmactl).deletingLastPathComponent().path + ":/usr/bin:/bin"
        let known = [(["te"], "test"), (["test", "--xor"], "--xor-sources"), (["test", "--operation", "cr"], "crc32c")]
        try script(shell) { file in
            for (line, found) in known + asked {
                let ran = try Command.run([program] + words(file, line), environment: ["PATH": search])
                #expect(
                    ran.output.components(separatedBy: "\n").contains { $0.hasPrefix(found) },
                    "\(line): \(ran.output) \(ran.errors)")
            }
        }
    }

    @Test("bash reads its completions", .enabled(if: path("bash") != nil, withoutShell("bash")))
    func bashReads() throws { try reads("bash") }

    @Test("zsh reads its completions", .enabled(if: path("zsh") != nil, withoutShell("zsh")))
    func zshReads() throws { try reads("zsh") }

    @Test("fish reads its completions", .enabled(if: path("fish") != nil, withoutShell("fish")))
    func fishReads() throws { try reads("fish") }

    @Test("bash completes commands, options and names", .enabled(if: path("bash") != nil, withoutShell("bash")))
    func bashCompletes() throws {
        let program = """
            source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
            entry=$(complete -p dmactl); entry=${entry#*-F }
            "${entry%% *}" dmactl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf '%s\\n' "${COMPREPLY[@]}"
            """
        let asked = [
            (["test", "--engine", "cpu-"], "cpu-threads"), (["test", "--channel", "cpu/6"], "cpu/63"),
            (["explain", "misal"], "misaligned"), (["copy", "--engine", "cpu-"], "cpu-threads"),
            (["copy", "--mode", "dem"], "demand"), (["bench", "--matrix", "ch"], "channels"),
            (["bench", "--mode", "cycle-stealing:0.1"], "cycle-stealing:0.1"),
        ]
        try completes("bash", asked) { file, line in ["-c", program, file, "dmactl"] + line }
    }

    // What the program itself is asked for, fish asks with the terminal's own line at hand, and there is no terminal here.
    @Test("fish completes commands and options", .enabled(if: path("fish") != nil, withoutShell("fish")))
    func fishCompletes() throws {
        try completes("fish", []) { file, line in
            ["-c", "source \(file); complete -C '\((["dmactl"] + line).joined(separator: " "))'"]
        }
    }
}
