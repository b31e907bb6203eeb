// SPDX-License-Identifier: Apache-2.0

import DMACore

extension Explanation {
    /// The counters of `EngineFaults`: what a channel found an engine to have said that no honest one says.
    static var engineFaults: [Explanation] {
        let texts: [(String, String, String, Int)] = [
            ("unknownTag", "a completion with a tag that no slot has", "tag 70,000 from an engine with 16 bits of tag", 8),
            (
                "notInFlight", "a completion of something that is not in flight: a second one, or one after a termination",
                "a phase bit that is not turned, so that an old entry is read again", 16
            ),
            (
                "outOfOrder", "a completion ahead of an earlier transaction, from an engine that says it keeps the order",
                "two workers that report into one ring", 9
            ),
            (
                "badResidue", "a residue larger than the transaction, taken as the whole",
                "a register that was read while the device wrote it",
                20
            ),
            ("badStatus", "a status that is none, or not final, taken as failed", "a status of 200", 10),
            (
                "refusedEnqueue", "a descriptor that the engine had no room for, although its depth said so",
                "a ring with one entry fewer than the depth", 25
            ),
            ("didNotQuiesce", "the engine did not stop when it was told to", "a device that hangs", 18),
            ("beforeIssue", "a completion of a transaction that was not issued", "a doorbell rung in enqueue", 5),
        ]
        return texts.map { name, meaning, example, rule in
            Explanation(
                name, .engineFault, title: meaning,
                meaning: "The channel counted \(meaning). It believed none of it: no memory was given back for it.",
                example: "\(example.prefix(1).uppercased() + example.dropFirst()).",
                cure: "The engine or its device is wrong: run the conformance suite on it (dmactl test), and see rule \(rule).",
                rules: [rule])
        }
    }

    /// How a transaction stands or ended.
    static var statuses: [Explanation] {
        TransactionStatus.allCases.map { status in
            let (meaning, example, cure) =
                switch status {
                case .complete:
                    (
                        "Done. With a residue, the peripheral had no more: the end of a file or of a stream.",
                        "A copy that has moved every byte.", "Nothing."
                    )
                case .queued: ("Submitted, and not issued.", "Between submit and issuePending.", "Call issuePending.")
                case .inProgress: ("Issued, and not over.", "After issuePending.", "Poll, wait, or await.")
                case .paused: ("Issued, on a channel that is paused.", "After pause().", "Call resume().")
                case .aborted:
                    (
                        "Terminated before it was done.", "terminateSync with work under way.",
                        "Submit it again where it is still wanted."
                    )
                case .readFailed:
                    (
                        "The source could not be read.", "A bad sector of a disk.",
                        "See the residue for how far it came, and the device."
                    )
                case .writeFailed:
                    (
                        "The destination could not be written.", "A full disk.",
                        "See the residue for how far it came, and the device."
                    )
                case .deviceGone:
                    (
                        "The device was removed, or answers no more, before it was done.", "A disk that was unplugged.",
                        "End the channel, and open the device again when it is back."
                    )
                case .failed:
                    (
                        "The engine failed otherwise, or said what cannot be.", "A status that does not exist.",
                        "See the channel's faults, and reset the engine if it persists."
                    )
                }
            return Explanation(
                "\(status)", .status, title: meaning, meaning: meaning, example: example, cure: cure,
                rules: status.isFinal ? [13] : [10])
        }
    }

    /// The checks of the suite that are not rules.
    static var checks: [Explanation] {
        ConformanceCheck.allCases.filter { $0.rule == nil }.map { check in
            Explanation(
                check.rawValue, .check, title: check.title,
                meaning: "The conformance suite checks: \(check.title). Every byte is compared with what it must be.",
                example: check.operation.map { "dmactl test --operation \($0)" } ?? "dmactl test --verbose",
                cure: """
                    Where it failed, the message says what was found and the seed repeats it. Where it was not proved, the case that it names \
                    never came about. Where it does not apply, the capability that it names is absent.
                    """)
        }
    }
}
