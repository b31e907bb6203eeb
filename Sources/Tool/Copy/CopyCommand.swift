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
            An endpoint is a path (file, block device, pipe), - for standard input or output, memory:SIZE, pattern:SEED[:SIZE], null:
            or zero:SIZE. Sizes: 4096, 64KiB, 1GiB, 10GB. A file whose name looks like another kind is written ./NAME.

            A regular file is written without a name, or under another one beside the target, flushed, and renamed when it is whole: a copy
            that fails or is stopped leaves the old target as it was. What a killed one leaves where every file has a name, the next copy to
            the target removes. Mode and times are kept. Holes stay holes.

            A file is read until a read says that it ends, whatever size it has been given. A source that shrinks meanwhile is an error. One that
            grows is copied as long as it was at the start, and that is said.

            A file that is replaced keeps its owner, its attributes and its access control list; one that its owner has write-protected is not
            replaced. --preserve gives all of these as the source has them. An option that the endpoints cannot follow is refused.

            EXAMPLES
              dmactl copy disk.img backup.img                  as fast as the disk
              dmactl copy --explain disk.img backup.img        how, and why; copies nothing
              dmactl copy --resume big.iso /mnt/usb/big.iso    continue after a stop
              dmactl copy --verify --yes image.raw /dev/sdX    write, and read it back
              find . -type f -print0 | dmactl copy --files-from - /mnt/backup
              dmactl copy pattern:7:1GiB /dev/null             a reproducible stream
              dmactl copy test.bin pattern:7                   compare a file with it
              dmactl copy --mode cycle-stealing:0.2 a b        work 20 % of the time

            EXIT CODES
              0    copied
              1    failed or refused; the reason and the cure are on standard error
              64   the command line is wrong
              130  stopped by ^C (143 by SIGTERM): what was unfinished is removed, or kept for --resume
              141  nobody reads the output any more (as cat: by SIGPIPE)
            """)

    @Argument(help: ArgumentHelp("Where bytes come from, and where they go.", valueName: "source> <target"))
    var endpoints: [PathArgument] = []
    @Option(
        help: ArgumentHelp(
            "burst, demand (what comes is passed on at once), or cycle-stealing:SHARE: at work for a share of the time, 0.5 if not said.",
            valueName: "mode"),
        completion: .list(["burst", "demand"] + ModeArgument.shares))
    var mode: ModeArgument?
    @Option(help: "Bytes a second at most.")
    var rate: String?
    @Option(help: "Bytes of one transfer.")
    var chunk: String?
    @Option(help: "Transfers in flight.")
    var depth: Int?
    @Option(
        help: "The engine that moves the bytes, by its name in dmactl list.", completion: .custom { _, _, _ in Names.engines })
    var engine: String?
    @Flag(help: "Read the target back from the medium and compare its CRC32C, before it gets its name.")
    var verify = false
    @Flag(help: "Show how it would be done, and why; copy nothing. With --json, a plan for --plan.")
    var explain = false
    @Flag(help: "Print what was done, or why it failed, as JSON (Schemas/copy.schema.json).")
    var json = false
    @Option(help: "Do it as this plan says, a file that --explain --json wrote.")
    var plan: PathArgument?
    @Option(
        help:
            "Copy the files of this list (- for standard input), separated by zero bytes or newlines, into the target directory."
    )
    var filesFrom: PathArgument?
    @Flag(
        help:
            "Make owner, extended attributes and access control lists those of the source; of a list, hard links and directories too."
    )
    var preserve = false
    @Option(help: "Share the source's blocks instead of copying them: auto, never, always.")
    var reflink = ReflinkChoice.auto
    @Flag(help: "Go on with an interrupted copy, after what it left has been read back and compared.")
    var resume = false
    @Flag(help: "Write behind the end of the target, which others may write to meanwhile.")
    var append = false
    @Flag(help: "Overwrite the target file in place; a failed copy leaves a mixture of old and new.")
    var inPlace = false
    @Flag(help: "Do not wait until the medium has it.")
    var noSync = false
    @Flag(help: "Discard a block device's contents before it is written.")
    var discard = false
    @Flag(help: "Yes, overwrite this block device.")
    var yes = false

    func validate() throws {
        let wanted = filesFrom == nil ? 2 : 1
        guard endpoints.count == wanted else {
            throw ValidationError(
                filesFrom == nil
                    ? "a source and a target are needed, and \(endpoints.count) given; many files: --files-from"
                    : "with --files-from, the target directory alone is named")
        }
        try Names.checkEngines([engine].compactMap(\.self))
        guard [resume, append, inPlace].count(where: { $0 }) <= 1 else {
            throw ValidationError("--resume, --append and --in-place exclude each other")
        }
        guard filesFrom == nil || !(yes || discard) else {
            throw ValidationError("--yes and --discard are for one block device, and --files-from copies files")
        }
        if plan != nil {
            let decided: [(String, Bool)] = [
                ("--files-from", filesFrom != nil), ("--mode", mode != nil), ("--chunk", chunk != nil),
                ("--depth", depth != nil),
                ("--engine", engine != nil), ("--verify", verify), ("--reflink", reflink != .auto), ("--no-sync", noSync),
            ]
            if let first = decided.first(where: \.1) {
                throw ValidationError(
                    "a plan is for one copy and says everything else itself: leave \(first.0) out, or change the plan")
            }
        }
        guard !(json && !explain && endpoints.last?.path == "-") else {
            throw ValidationError("--json prints to standard output, which is the target")
        }
    }

    func run() throws {
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
        let report = try telling(first, last, control) { try copy(copier, signals, control) }
        guard let report else { return }
        signals.end()
        CopyOutput.say(report, last, isTerminal: signals.isTerminal && !json)
        guard json else { return }
        try CopyOutput.print(try JSON.text(CopyDocument(first, last, report)))
    }

    /// Where a document is asked for, a failure is one too; its sentence stands on standard error as always.
    private func telling<R>(_ source: CopyPath, _ target: CopyPath, _ control: CopyControl, _ body: () throws -> R) throws -> R
    {
        do { return try body() } catch let failure as CopyFailure {
            guard json else { throw failure }
            // What cannot be printed is said as well, and does not stand for what happened.
            do { try CopyOutput.print(try JSON.text(FailureDocument(source, target, failure, control.progress))) } catch {
                Terminal.note("dmactl: \(error)\n")
            }
            throw failure
        }
    }

    /// nil where it was explained alone.
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
        options.engine = engine
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
