// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACopy

extension Explanation {
    /// What a command ends with.
    static var exitCodes: [Explanation] {
        let codes: [(Int, String, String, String)] = [
            (0, "all is well", "Every check passed.", "Nothing."),
            (
                1, "something is wrong: a test failed or was not proved, a measurement failed, an engine could not be tested",
                "dmactl test found a wrong byte.", "Read the lines above; the last one repeats the run."
            ),
            (
                64, "the command line or a configuration file is wrong", "dmactl test --engine nobody",
                "dmactl help COMMAND says what it takes."
            ),
            (66, "a file cannot be read", "dmactl bench --config /nonexistent", "Check the path and its permissions."),
            (
                73, "a file, or standard output, cannot be written", "dmactl list > /dev/full",
                "Make room, or write elsewhere."
            ),
            (129, "stopped by SIGHUP", "The terminal was closed.", "Run it under nohup(1) or in a session that stays."),
            (130, "stopped by SIGINT", "^C; what was done is printed.", "Nothing; a second ^C ends the process at once."),
            (143, "stopped by SIGTERM", "A service manager ended the program.", "Nothing; what was done is printed."),
        ]
        return codes.map { code, meaning, example, cure in
            Explanation(
                "exit\(code)", aliases: ["exit-\(code)"], .exitCode, title: meaning,
                meaning: "dmactl ends with \(code): \(meaning).", example: example, cure: cure)
        }
    }

    /// Why a copy was refused or failed.
    static var copyFailures: [Explanation] {
        CopyFailure.Code.allCases.map { code in
            let (meaning, example, cure) = copyTexts(code)
            return Explanation(
                code.rawValue, .copyFailure, title: meaning,
                meaning: "\(meaning.prefix(1).uppercased() + meaning.dropFirst()).",
                example: example, cure: cure)
        }
    }

    private static func copyTexts(_ code: CopyFailure.Code) -> (String, String, String) {
        switch code {
        case .badSize: ("a size cannot be read", "--chunk 12QB", "Write a number with B, KiB, MiB, GiB or TiB.")
        case .badEndpoint: ("a source or target is none", "dmactl copy '' target", "Name a file, a device or a pattern.")
        case .badOption:
            ("an option does not fit the copy", "--resume to a pipe", "Leave the option out; the message says which fit.")
        case .badPlan:
            ("a file is no plan of a copy", "--plan of another program's JSON", "Use what dmactl copy --explain --json prints.")
        case .badList: ("a line of a copy list is wrong", "A line with one path", "Write a source and a target on each line.")
        case .notFound: ("a file is not there", "A misspelt path", "Check the path; directories are not created.")
        case .notPermitted: ("the user may not", "A source that only root reads", "See namei -l, or become another user.")
        case .isDirectory: ("a directory cannot be copied", "dmactl copy /etc target", "Copy its files, by a list.")
        case .notSupported:
            (
                "the file or file system cannot do it", "Direct I/O on a file system without it",
                "Leave the option out, or choose another place."
            )
        case .sameFile:
            ("source and target are one file", "A target that is a hard link of the source", "Choose another target.")
        case .targetTooSmall:
            (
                "the target is a device with too little room", "A 2 GiB image to a 1 GiB disk",
                "Choose a larger device."
            )
        case .readOnly:
            ("the target cannot be written", "A file system that is mounted read-only", "Remount it, or choose another target.")
        case .notReplaceable: ("the target cannot be replaced", "A target that is a socket", "Choose another target.")
        case .danglingLink: ("a symbolic link leads nowhere", "A link to a file that was removed", "Mend or remove the link.")
        case .mounted: ("a device is mounted", "Writing to the disk of /", "Unmount it.")
        case .held: ("a device is held by another", "A disk that belongs to a RAID", "Release it from there.")
        case .needsConfirmation:
            ("a device would be overwritten", "Writing an image to /dev/sdb", "Confirm, after a second look at the name.")
        case .readFailed: ("the source could not be read", "A bad sector", "See the kernel's log, and replace the medium.")
        case .writeFailed: ("the target could not be written", "A device that was unplugged", "See the kernel's log.")
        case .noSpace: ("no room is left", "A full file system", "See df and df -i.")
        case .quotaExceeded: ("the quota is used up", "A user's limit of blocks", "See quota -s.")
        case .fileTooLarge:
            ("the file would be too large", "5 GiB on FAT, or ulimit -f", "Choose another file system, or raise the limit.")
        case .sourceShrank:
            (
                "the source became shorter during the copy", "A log that was truncated",
                "Copy it again while no other process writes it."
            )
        case .brokenPipe:
            ("the reader of a pipe has gone", "dmactl copy file - | head -c 1", "Keep the reader, or expect this.")
        case .cancelled: ("the copy was stopped", "^C", "Go on with --resume.")
        case .flushFailed:
            (
                "what was written could not be flushed", "A device with a write error",
                "Do not trust the target; copy again to another one."
            )
        case .engineFailed: ("the engine failed", "A device that reports an error", "Look up the engine's code, in brackets.")
        case .noReflink:
            (
                "the file system cannot share blocks", "--reflink on ext4",
                "Leave it out, or use a file system with reflinks."
            )
        case .outOfMemory: ("memory is short", "A container with a small limit", "Ask for a smaller depth or chunk.")
        case .verifyFailed: ("what was read back is not what was written", "A failing disk", "Do not trust the target.")
        case .patternMismatch:
            ("the source does not hold the pattern", "Checking a disk that was not filled", "Fill it with the same seed first.")
        case .publishFailed:
            (
                "the whole copy could not get its name", "A directory that was removed meanwhile",
                "The part file is kept: rename it by hand."
            )
        case .badJournal:
            ("the journal of an earlier copy cannot be used", "A source that changed since", "Copy anew, without --resume.")
        case .attributesLost:
            (
                "mode, owner or times could not be kept", "A target that another user owns",
                "Set them by hand, or leave --preserve out."
            )
        }
    }
}
