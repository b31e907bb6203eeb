// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMACore
import DMADevices

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a model of a DMA controller to QEMU or another vfio-user client.",
        discussion: """
            The model is a PCI device on a UNIX socket. QEMU 10.1 and later reaches it by -device vfio-user-pci, programs of this package by the \
            address vfio-user:PATH. One client at a time; when it ends, in whatever way, the device is reset and the next one is taken. What a \
            driver must not do is reported on standard error. A signal ends the server.

            EXAMPLES
              dmactl serve edu --socket /tmp/edu.sock
              dmactl serve ioat --socket /tmp/ioat.sock
              dmactl test --device vfio-user:/tmp/ioat.sock

            EXIT CODES
              1    the model cannot be served
              64   the command line is wrong
              130  ended by ^C (143: SIGTERM, 129: SIGHUP)
            """)

    @Argument(
        help: ArgumentHelp("The model: \(DeviceModels.names.joined(separator: ", ")).", valueName: "model"),
        completion: .list(DeviceModels.names))
    var model: String
    @Option(help: "The path of the socket, which is made, with mode 0600.", completion: .file())
    var socket: String

    func validate() throws {
        guard DeviceModels.names.contains(model) else {
            throw ValidationError("no model is called \"\(model)\"; there are \(DeviceModels.names.joined(separator: ", "))")
        }
    }

    func run() async throws {
        let server: ModelServer
        do throws(DeviceFailure) { server = try ModelServer(model, at: socket) } catch {
            throw CommandFailure("cannot serve \(error)", code: 1)
        }
        let (signals, status) = (Signals(), StatusLine())
        Terminal.note("dmactl: serving \(model) at \(socket)\n")
        var seen = ModelServer.State()
        try await signals.stopping(status) { stop in
            while !stop.isStopped {
                let now = server.state
                for line in Self.changes(from: seen, to: now) { Terminal.note("dmactl: \(line)\n") }
                seen = now
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        server.stop()
        let now = server.state
        for line in Self.changes(from: seen, to: now) { Terminal.note("dmactl: \(line)\n") }
        Terminal.note("dmactl: \(now.clients) clients, \(now.interrupts) interrupts, \(now.violations) violations of drivers\n")
        if let code = signals.exitCode { throw ExitCode(code) }
    }

    /// What is said of what has changed.
    static func changes(from before: ModelServer.State, to now: ModelServer.State) -> [String] {
        var lines: [String] = []
        if now.clients > before.clients { lines.append("client \(now.clients) has connected") }
        if before.hasClient, !now.hasClient || now.clients > before.clients, let reason = now.lastEnd {
            lines.append("client \(before.clients) has ended: \(reason)")
        }
        if now.violations > before.violations {
            lines += now.latestViolations.suffix(Int(min(now.violations - before.violations, 5))).map { "the driver: \($0)" }
        }
        return lines
    }
}
