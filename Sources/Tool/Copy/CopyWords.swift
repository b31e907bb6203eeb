// SPDX-License-Identifier: Apache-2.0

import DMACopy

/// A failure of the library in the words of the command line: that has names for the choices that the library makes.
enum CopyWords {
    /// The option that sets a property of `CopyOptions`, or one of its cases.
    private static let options = [
        "share": "--mode", "chunk": "--chunk", "depth": "--depth", "rate": "--rate", "engine": "--engine", "mode": "--mode",
        "reflink": "--reflink", "resume": "--resume", "append": "--append", "in-place": "--in-place", "verifies": "--verify",
        "preserves": "--preserve", "discards": "--discard", "overwritesDevices": "--yes",
    ]

    static func tell(_ failure: CopyFailure) -> CopyFailure {
        let subject = failure.code == .badOption ? options[failure.subject] : nil
        let named = failure.remedy.map { "\(failure.cure) (\(option($0)))" }
        return failure.with(subject: subject, cure: named)
    }

    private static func option(_ remedy: CopyFailure.Remedy) -> String {
        switch remedy {
        case .overwriteInPlace: "--in-place"
        case .append: "--append"
        case .confirmOverwriting: "--yes"
        case .resume: "--resume"
        }
    }

    /// The exit code of a failure: of a command line that no file could make right, that for wrong ones.
    static func exitCode(_ failure: CopyFailure) -> Int32 {
        [.badOption, .badSize, .badEndpoint].contains(failure.code) ? 64 : 1
    }
}
