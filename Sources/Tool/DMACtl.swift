// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

@main
struct DMACtl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmactl",
        abstract: "See, test and measure what moves bytes on this machine.",
        discussion: """
            EXAMPLES
              dmactl test               every engine, every operation, each byte verified: half a minute
              dmactl test --operation copy --engine cpu
              dmactl list               the engines, and what each can do
              dmactl copy SOURCE TARGET a file, a disk or a stream, by the fastest way (dmactl help copy)

            EXIT CODES
              0  all is well
              1  something is wrong: a test failed
              64 the command line is wrong
            """,
        version: "0.1.0",
        subcommands: [CopyCommand.self, ListCommand.self, TestCommand.self, BenchCommand.self])
}
