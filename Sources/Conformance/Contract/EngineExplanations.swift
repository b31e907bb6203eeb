// SPDX-License-Identifier: Apache-2.0

import DMACore

extension Explanation {
    /// The counters of `EngineFaults`: protocol violations of an engine that a channel has detected.
    static var engineFaults: [Explanation] {
        let texts: [(String, String, String, Int)] = [
            ("unknownTag", "a completion with a tag that no slot has", "tag 70,000 from an engine with 16 bits of tag", 8),
            (
                "notInFlight", "a completion for a slot with nothing in flight: a duplicate, or a report after a termination",
                "a phase bit that is not toggled, so that an old entry is read again", 16
            ),
            (
                "outOfOrder", "a completion ahead of an earlier transaction, from an engine that declares in-order completion",
                "two workers that report to one ring", 9
            ),
            (
                "badResidue", "a residue larger than the transaction, clamped to its length",
                "a register read while the device updates it",
                20
            ),
            ("badStatus", "an undefined status, or one that is not final, taken as failed", "a status of 200", 10),
            (
                "refusedEnqueue", "a descriptor that the engine had no room for, although its declared depth promises it",
                "a ring with one entry fewer than the depth", 25
            ),
            ("didNotQuiesce", "an engine that did not stop when told to", "a device that hangs", 18),
            ("beforeIssue", "a completion of a transaction that was not issued", "a doorbell rung in enqueue", 5),
        ]
        return texts.map { name, meaning, example, rule in
            Explanation(
                name, .engineFault, title: meaning,
                meaning: "The channel counted \(meaning). It ignored the report and returned no memory for it.",
                example: "\(example.prefix(1).uppercased() + example.dropFirst()).",
                cure:
                    "The engine or its device is faulty: run the conformance suite on it (dmactl test), and see rule \(rule).",
                rules: [rule])
        }
    }

    /// The statuses of a transaction.
    static var statuses: [Explanation] {
        TransactionStatus.allCases.map { status in
            let (meaning, example, cure) =
                switch status {
                case .complete:
                    (
                        "Complete. A residue means that the peripheral had no more data: the end of a file or of a stream.",
                        "A copy that moved every byte.", "Nothing."
                    )
                case .queued: ("Submitted, not yet issued.", "Between submit and issuePending.", "Call issuePending.")
                case .inProgress: ("Issued, not yet ended.", "After issuePending.", "Poll, wait, or await.")
                case .paused: ("Issued, on a paused channel.", "After pause().", "Call resume().")
                case .aborted:
                    (
                        "Terminated before completion.", "terminateSync with work in flight.",
                        "Submit it again if it is still needed."
                    )
                case .readFailed:
                    (
                        "The source could not be read.", "A bad sector of a disk.",
                        "Check the residue for the progress, then the device."
                    )
                case .writeFailed:
                    (
                        "The destination could not be written.", "A full disk.",
                        "Check the residue for the progress, then the device."
                    )
                case .deviceGone:
                    (
                        "The device was removed, or stopped responding, before completion.", "A disk that was unplugged.",
                        "End the channel, and open the device again once it is back."
                    )
                case .failed:
                    (
                        "The engine failed in another way, or reported an impossible state.", "An undefined status.",
                        "Check the channel's faults, and reset the engine if the failure persists."
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
                    Failed: the message describes the finding, and the seed reproduces it. Not proved: the run did not reach the named case. Not \
                    applicable: the engine lacks the named capability.
                    """)
        }
    }
}
