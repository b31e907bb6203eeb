// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMACopy
import DMACore
import DMAThreads

struct RootCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmactl",
        abstract: "See, test and measure what moves bytes on this machine.",
        discussion: """
            Needs neither hardware nor privileges.

            EXAMPLES
              dmactl test                      every engine, each byte verified
              dmactl list                      the engines, and what each can do
              dmactl copy SOURCE TARGET        by the fastest way
              dmactl bench --html report.html  speed, as a page of charts
              dmactl list --devices            PCI devices, and how to drive them
              dmactl serve ioat --socket PATH  a model of a controller, for QEMU
              dmactl explain rule18            what a name in a message means
              dmactl help test                 what a command takes

            ENVIRONMENT
              NO_COLOR       set and not empty: no colour
              COLUMNS        the width of tables, instead of the terminal's
              DMA_POLICY     a file: devices that may be opened, and those without IOMMU
              DMA_SANITIZE   1: check every mapping and submission, and say what is wrong
              TMPDIR         where dmactl test makes its file, instead of /tmp

            EXIT CODES
              0    all is well
              1    something is wrong: a test failed, a measurement failed
              64   the command line or a configuration file is wrong
              66   a file cannot be read
              73   a file, or standard output, cannot be written
              130  stopped by ^C (143: SIGTERM, 129: SIGHUP)
            """,
        version: "0.2.0",
        subcommands: [
            CopyCommand.self, ListCommand.self, TestCommand.self, BenchCommand.self, ServeCommand.self, BindCommand.self,
            UnbindCommand.self, ExplainCommand.self, ManualCommand.self,
        ])

    /// Does what the command line asks for, says what is left to say, and returns the exit code.
    static func conclude() async -> Int32 {
        var status = await status()
        if noteReports() > 0, status == 0 { status = 1 }
        if StandardOutput.flush() { return status }
        Terminal.note("dmactl: standard output: cannot be written\n")
        return 73
    }

    /// Says what the sanitizer, where it is on, has found since it was last asked. Returns how much that is.
    static func noteReports() -> Int {
        let reports = Sanitizer.takeReports()
        for report in reports { Terminal.note("dmactl: sanitizer: \(report)\n") }
        return reports.count
    }

    /// Where the system gives no thread, tasks would wait for one for ever.
    private static func checkThreads() throws(CommandFailure) {
        do throws(DMAError) {
            try NativeThread {}.join()
        } catch {
            let reason = error.kernelText ?? "the system has none to give"
            throw CommandFailure(
                "no thread can be started: \(reason). Cure: a higher limit of processes (ulimit -u; in a container pids.max)",
                code: 1)
        }
    }

    /// Does what was asked, and returns the exit code.
    private static func status() async -> Int32 {
        if !ProcessStart.hasProc {
            Terminal.note(
                "dmactl: /proc is not there: what files, memory and mounts there are is not known. Cure: mount -t proc proc /proc\n"
            )
        }
        do {
            var command = try parseAsRoot(ProcessStart.arguments)
            if var waiting = command as? any AsyncParsableCommand {
                try checkThreads()
                try await waiting.run()
            } else {
                try command.run()
            }
            return 0
        } catch let failure as CommandFailure {
            Terminal.note("dmactl: \(failure)\n")
            return failure.code
        } catch let failure as ValidationError {
            // Found while running, where ArgumentParser no longer knows of which command to show the usage.
            Terminal.note("dmactl: \(failure.message)\n")
            return exitCode(for: failure).rawValue
        } catch {
            // Bytes of the command line that are not UTF-8, on lines that may be many.
            let lines = fullMessage(for: error).split(separator: "\n", omittingEmptySubsequences: false)
            let (code, text) = (exitCode(for: error), lines.map { CopyFailure.oneLine(String($0)) }.joined(separator: "\n"))
            if !text.isEmpty { code.isSuccess ? print(text) : Terminal.note(text + "\n") }
            return code.rawValue
        }
    }
}
