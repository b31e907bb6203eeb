// SPDX-License-Identifier: Apache-2.0

import DMAThreads
import Glibc

/// What the program was called with.
enum Arguments {
    /// Whether /proc is mounted, where Swift looks for them.
    // SAFETY: the path is read to its zero, and not kept.
    static let hasProc = unsafe access("/proc/self/cmdline", R_OK) == 0

    /// Those behind the program's own name.
    static var own: [String] { Array(all.dropFirst()) }

    /// The program's name, without its folder.
    static var program: String { all.first?.split(separator: "/").last.map(String.init) ?? "dmactl" }

    private static let all = CommandLine.arguments.isEmpty ? ProgramArguments.all : CommandLine.arguments
}
