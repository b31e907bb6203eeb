// SPDX-License-Identifier: Apache-2.0

import DMACopy

/// A failure of the library in the terms of the command line: with the names of its options.
enum CopyWords {
    /// The option that sets a property of `CopyOptions`, or one of its cases.
    private static let options = [
        "share": "--mode", "chunk": "--chunk", "depth": "--depth", "rate": "--rate", "engine": "--engine", "mode": "--mode",
        "reflink": "--reflink", "resume": "--resume", "append": "--append", "in-place": "--in-place", "verifies": "--verify",
        "preserves": "--preserve", "discards": "--discard", "overwritesDevices": "--yes", "retries": "--retries",
        "flushes": "--no-sync",
    ]

    static func tell(_ failure: CopyFailure) -> CopyFailure {
        let subject = failure.code == .badOption ? options[failure.subject] : nil
        // The cure is a sentence: the option goes before its full stop.
        let named = failure.remedy.map { remedy in
            let sentence = CopyFailure.sentence(failure.cure)
            return "\(sentence.dropLast()) (\(option(remedy)))."
        }
        return failure.with(subject: subject, cure: named)
    }

    private static func option(_ remedy: CopyFailure.Remedy) -> String {
        switch remedy {
        case .overwriteInPlace: "--in-place"
        case .append: "--append"
        case .confirmOverwriting: "--yes"
        case .resume: "--resume"
        case .rescue: "--rescue"
        }
    }

    /// The exit code of a failure: 64 for a command line that is wrong whatever the files are.
    static func exitCode(_ failure: CopyFailure) -> Int32 {
        [.badOption, .badSize, .badEndpoint].contains(failure.code) ? 64 : 1
    }
}
