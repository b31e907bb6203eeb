// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMACopy
import DMAUnits
import Glibc

struct CopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy a file, a disk or a stream by the fastest way that this machine offers.",
        usage: """
            dmactl copy [<options>] <source> <target>
                   dmactl copy [<options>] --files-from <list> <directory>
            """,
        discussion: """
            An endpoint is a path (file, block device, pipe), - for standard input or output, memory:SIZE, pattern:SEED[:SIZE], null: \
            or zero:SIZE. Sizes: 4096, 64KiB, 1GiB, 10GB. A file whose name looks like another endpoint is written ./NAME.

            A regular file is written to a new file in the directory of the target, which is flushed, and renamed when it is complete: a copy \
            that fails or is stopped leaves the old target unchanged. What a killed copy leaves behind, on file systems without unnamed \
            files, is removed by the next copy to the same target. Mode, times and holes are kept.

            A file is read to its end, whatever size it reports. A source that becomes shorter during the copy is an error. One that grows is \
            copied up to its size at the start, with a note.

            A file that is replaced keeps its owner, attributes and access control list; a write-protected one is not replaced. --preserve \
            takes all of these from the source. An option that the endpoints do not support is refused.

            --rescue copies a medium with bad sectors: undamaged parts first in large blocks, then damaged ones sector by sector. Its map \
            records what is at the target, in the format of GNU ddrescue, which can continue the rescue; it is saved every 10 s, at the \
            end and on a signal. The target is written in place. Where the source cannot be read, the target keeps its data: zeros in a \
            new file.

            EXAMPLES
              dmactl copy disk.img backup.img                  at the speed of the disk
              dmactl copy --explain disk.img backup.img        print the plan
              dmactl copy --resume big.iso /mnt/usb/big.iso    continue after a stop
              dmactl copy --verify --yes image.raw /dev/sdX    write, and read it back
              find . -type f -print0 | dmactl copy --files-from - /mnt/backup
              dmactl copy pattern:7:1GiB /dev/null             a reproducible stream
              dmactl copy test.bin pattern:7                   compare a file with it
              dmactl copy --mode cycle-stealing:0.2 a b        be active 20 % of the time
              dmactl copy --rescue sdb.map /dev/sdb sdb.img    a disk with bad sectors

            EXIT CODES
              0    copied
              1    failed or refused, or a rescue that is not whole
              64   the command line is wrong
              130  stopped by ^C (143 by SIGTERM); what is unfinished is removed or kept
              141  the reader of the output has closed the pipe (SIGPIPE, as for cat)
            """)

    @Argument(help: ArgumentHelp("Where the data comes from, and where it goes.", valueName: "source> <target"))
    var endpoints: [PathArgument] = []
    @Option(
        help: ArgumentHelp(
            "burst, demand (data is passed on as soon as it arrives), or cycle-stealing:SHARE: active for a share of the time; default 0.5.",
            valueName: "mode"),
        completion: .list(["burst", "demand"] + ModeArgument.shares))
    var mode: ModeArgument?
    @Option(help: "The most bytes in a second.")
    var rate: String?
    @Option(help: "Bytes of one transfer.")
    var chunk: String?
    @Option(help: "Transfers in flight.")
    var depth: Int?
    @Option(
        help: "The engine that transfers the data, by its name in dmactl list.",
        completion: .custom { _, _, _ in Names.engines })
    var engine: String?
    @Flag(help: "Read the new data back from the medium and compare its CRC32C, before it replaces the target.")
    var verify = false
    @Flag(help: "Print how it would be done, and why; copy nothing. With --json, a plan for --plan.")
    var explain = false
    @Flag(help: "Print what was done, or why it failed, as JSON (Schemas/copy.schema.json).")
    var json = false
    @Option(help: "Follow this plan, a file that --explain --json wrote.")
    var plan: PathArgument?
    @Option(
        help:
            "Copy the files of this list (- for standard input), separated by zero bytes or newlines, into the target directory."
    )
    var filesFrom: PathArgument?
    @Flag(
        help:
            "Take owner, extended attributes and access control lists from the source; for a list also hard links and directories."
    )
    var preserve = false
    @Option(help: "Share the source's blocks instead of copying them: auto, never, always.")
    var reflink = ReflinkChoice.auto
    @Flag(help: "Continue an interrupted copy, after what it wrote has been read back and compared.")
    var resume = false
    @Flag(help: "Write after the end of the target, to which other processes may append meanwhile.")
    var append = false
    @Flag(help: "Overwrite the target file in place; a failed copy leaves a mixture of old and new data.")
    var inPlace = false
    @Option(
        help:
            "Rescue a medium with bad sectors, and keep a map of what was read in this file; an existing map continues its rescue."
    )
    var rescue: PathArgument?
    @Option(help: "With --rescue: read bad sectors again this many times, after everything else; default 0.")
    var retries: Int?
    @Flag(help: "Do not wait until the medium has the data.")
    var noSync = false
    @Flag(help: "Discard all blocks of a block device before it is written.")
    var discard = false
    @Flag(help: "Confirm that this block device may be overwritten.")
    var yes = false

    func validate() throws {
        let wanted = filesFrom == nil ? 2 : 1
        guard endpoints.count == wanted else {
            throw ValidationError(
                filesFrom == nil
                    ? "a source and a target are needed, and \(endpoints.count) were given; --files-from copies many files"
                    : "--files-from takes one argument, the target directory")
        }
        guard [resume, append, inPlace].count(where: { $0 }) <= 1 else {
            throw ValidationError("--resume, --append and --in-place exclude each other")
        }
        guard filesFrom == nil || !(yes || discard) else {
            throw ValidationError("--yes and --discard are for a block device, and --files-from copies files")
        }
        guard retries == nil || rescue != nil else {
            throw ValidationError("--retries needs --rescue")
        }
        guard rescue == nil || filesFrom == nil else {
            throw ValidationError("--rescue is for one source, and --files-from copies many files")
        }
        if plan != nil {
            let decided: [(String, Bool)] = [
                ("--files-from", filesFrom != nil), ("--rescue", rescue != nil), ("--mode", mode != nil),
                ("--chunk", chunk != nil),
                ("--depth", depth != nil),
                ("--engine", engine != nil), ("--verify", verify), ("--reflink", reflink != .auto), ("--no-sync", noSync),
            ]
            if let first = decided.first(where: \.1) {
                throw ValidationError(
                    "a plan is for one copy and contains this choice: leave \(first.0) out, or change the plan")
            }
        }
        guard !(json && !explain && endpoints.last?.path == "-") else {
            throw ValidationError("--json prints to standard output, which is the target")
        }
    }

    func run() throws {
        defer { NamedDevices.close() }
        let signals = CopySignals()
        do {
            try run(signals)
        } catch let failure as CopyFailure {
            signals.end()
            if failure.code == .brokenPipe { CopySignals.dieOfBrokenPipe() }
            CopyOutput.say(failure, endpoints.last?.path.text ?? "")
            throw ExitCode(signals.exitCode ?? CopyWords.exitCode(failure))
        }
        signals.end()
        if let code = signals.exitCode { throw ExitCode(code) }
    }

    private func run(_ signals: CopySignals) throws {
        let control = CopyControl()
        let copier = Copier(system: try ToolSystem.make())
        let (first, last) = (endpoints[0].path, endpoints[endpoints.count - 1].path)
        if let list = filesFrom?.path {
            let (paths, options) = try telling(list, last, control) {
                let options = try self.options()
                try copier.check(options)
                return (try CopyList.read(list), options)
            }
            let run = CopyListRun(copier: copier, options: options, folder: last, json: json)
            return try explain ? run.explain(paths) : run.copy(paths, signals)
        }
        if let map = rescue?.path {
            let isWhole = try telling(first, last, control) {
                let run = CopyRescueRun(
                    copier: copier, source: first, target: last, map: map, retries: retries ?? 0, options: try self.options(),
                    json: json)
                if explain {
                    try run.explain()
                    return true
                }
                return try run.run(signals, control)
            }
            if !isWhole { throw ExitCode(1) }
            return
        }
        let report = try telling(first, last, control) { try copy(copier, signals, control) }
        guard let report else { return }
        signals.end()
        CopyOutput.say(report, last, isTerminal: signals.isTerminal && !json)
        guard json else { return }
        try CopyOutput.print(try JSON.text(CopyDocument(first, last, report)))
    }

    /// With --json a failure is printed as a document too; its sentence is printed on standard error as always.
    private func telling<R>(_ source: CopyPath, _ target: CopyPath, _ control: CopyControl, _ body: () throws -> R) throws -> R
    {
        do { return try body() } catch let failure as CopyFailure {
            guard json else { throw failure }
            // A document that cannot be printed is an error of its own, and does not replace the failure.
            do { try CopyOutput.print(try JSON.text(FailureDocument(source, target, failure, control.progress))) } catch {
                Terminal.note("dmactl: \(error)\n")
            }
            throw failure
        }
    }

    /// nil after --explain.
    private func copy(_ copier: Copier, _ signals: CopySignals, _ control: CopyControl) throws -> CopyReport? {
        let options = try options()
        let source = try Endpoint(endpoints[0].path)
        let target = try Endpoint(endpoints[1].path)
        let given = try plan.map { try PlanFile.read($0.path) }
        if explain {
            let plan = try given ?? copier.plan(from: source, to: target, options)
            let document = PlanDocument(source: source.description, target: target.description, plan: plan)
            try CopyOutput.print(json ? try JSON.text(document) : CopyOutput.explain(plan))
            return nil
        }
        signals.watch(control, name: target.description)
        return try copier.copy(from: source, to: target, options, plan: given, control: control)
    }

    private func options() throws -> CopyOptions {
        var options = CopyOptions()
        options.mode = mode?.mode
        if let share = mode?.share { options.share = share }
        options.rate = try rate.map { try ByteSize.parse($0, for: "--rate") }
        options.chunk = try chunk.map { try ByteSize.parse($0, for: "--chunk") }
        options.depth = depth
        options.engine = try engine.map { try NamedDevices.open([$0])[0] }
        options.verifies = verify
        options.preserves = preserve
        options.reflink = reflink
        options.treatment = resume ? .resume : append ? .append : inPlace ? .inPlace : .replace
        options.flushes = !noSync
        options.discards = discard
        options.overwritesDevices = yes
        return options
    }
}
