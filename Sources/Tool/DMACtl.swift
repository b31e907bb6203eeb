// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

@main
struct DMACtl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmactl",
        abstract: "See, test and measure what moves bytes on this machine.",
        discussion: """
            Needs neither hardware nor privileges.

            EXAMPLES
              dmactl test               every engine, every operation, each byte verified: a minute
              dmactl list               the engines, and what each can do
              dmactl copy SOURCE TARGET a file, a disk or a stream, by the fastest way (dmactl help copy)
              dmactl bench --html report.html
              dmactl help test          what a command takes

            ENVIRONMENT
              NO_COLOR       set and not empty: no colour
              COLUMNS        the width of tables, instead of the terminal's
              DMA_SANITIZE   1: check every mapping and submission against the live ones

            EXIT CODES
              0   all is well
              1   something is wrong: a test failed, a measurement failed
              64  the command line or a configuration file is wrong
              66  a file cannot be read
              73  a file cannot be written
            """,
        version: "0.1.0",
        subcommands: [CopyCommand.self, ListCommand.self, TestCommand.self, BenchCommand.self, ManualCommand.self])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var waiting = command as? any AsyncParsableCommand {
                try await waiting.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            Terminal.note("dmactl: \(failure)\n")
            exit(withError: ExitCode(failure.code))
        } catch {
            exit(withError: error)
        }
    }
}
