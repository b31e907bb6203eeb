// SPDX-License-Identifier: Apache-2.0

/// The guide's article on the contract, made of the same texts as `dmactl explain`.
package enum ContractArticle {
    /// The whole file, Sources/Core/Documentation.docc/Contract.md.
    package static var text: String {
        var lines = [
            "# The contract", "", "@Comment { SPDX-License-Identifier: Apache-2.0 }", "",
            "The 39 rules that hold between clients, channels and engines: what each means, an example, and the cure.", "",
            "## Overview", "",
            """
            These are the rules of the Linux kernel's DMA subsystem for user space. Each is impossible to break, or checked while the program \
            runs, with an error that names the rule. The conformance suite asks every engine about them (`dmactl test`), and `dmactl explain \
            rule38` prints one of them; a code of an error can be looked up in the same way: `dmactl explain misaligned`.
            """, "",
            "This article is made by `dmactl explain --article`; a test compares.",
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
