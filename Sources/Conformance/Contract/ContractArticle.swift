// SPDX-License-Identifier: Apache-2.0

/// The guide's article on the contract, made of the same texts as `dmactl explain`.
package enum ContractArticle {
    /// The whole file, Sources/Core/Documentation.docc/Contract.md.
    package static var text: String {
        var lines = [
            "# The contract", "", "@Comment { SPDX-License-Identifier: Apache-2.0 }", "",
            "The 39 rules between clients, channels and engines, each with its meaning, an example, and the cure.", "",
            "## Overview", "",
            """
            These are the rules of the Linux kernel's DMA subsystem, for user space. The compiler enforces a rule where it can; otherwise it is \
            checked at run time, with an error that names the rule. The conformance suite checks every engine against them (`dmactl test`), and \
            `dmactl explain rule38` prints one of them; `dmactl explain misaligned` explains the code of an error.
            """, "",
            "`dmactl explain --article` generates this article; a test compares.",
        ]
        for (first, heading) in [
            (1, "Channels and submission"), (11, "Completion"), (16, "Termination"), (20, "Residue, rings and lists"),
            (25, "Flags and metadata"), (29, "Mapping"),
        ] {
            lines += ["", "## \(heading)"]
            let last = [10, 15, 19, 24, 28, 39].first { $0 >= first } ?? 39
            for rule in Explanation.rules where (first...last).contains(rule.rules[0]) {
                lines += [
                    "", "### Rule \(rule.rules[0]): \(rule.title)", "", rule.meaning, "", "- Example: \(rule.example)",
                    "- Cure: \(rule.cure)",
                ]
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
