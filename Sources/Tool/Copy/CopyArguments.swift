// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import DMACopy

/// A path, or another endpoint, byte for byte as on the command line.
struct PathArgument: ExpressibleByArgument {
    let path: CopyPath

    init?(argument: String) { path = CopyPath(escaped: argument) }
}

/// burst, demand, cycle-stealing or cycle-stealing:SHARE: spelled as for the benchmark.
struct ModeArgument: ExpressibleByArgument {
    let mode: CopyMode
    /// The share of the time that the copy is active; nil for the library's default.
    let share: Double?

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let mode = CopyMode(rawValue: String(parts[0])) else { return nil }
        self.mode = mode
        guard parts.count > 1 else {
            share = nil
            return
        }
        guard mode == .cycleStealing, let share = Double(parts[1]) else { return nil }
        self.share = share
    }

    /// Texts that a shell completes, beside those of the other modes.
    static let shares = ["cycle-stealing:0.5", "cycle-stealing:0.25", "cycle-stealing:0.1"]

    static var allValueStrings: [String] { CopyMode.allCases.map(\.rawValue) }
}
extension ReflinkChoice: ExpressibleByArgument {}
