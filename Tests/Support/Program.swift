// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// The package under test: its files, and its program.
public enum Program {
    /// The root of the package.
    public static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    public static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// dmactl, in the directory of the built tests.
    public static let dmactl: String = built("dmactl")

    /// The path of a program of the package, in the directory of the built tests.
    public static func built(_ name: String) -> String {
        let own = URL(
            filePath: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        )
        // The bundle that the testing library's helper was told to load is an argument.
        let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }.map { URL(filePath: $0) }
        let paths = ([own, URL(filePath: CommandLine.arguments[0])] + bundles).map {
            $0.deletingLastPathComponent().appending(path: name).path
        }
        return paths.first { FileManager.default.isExecutableFile(atPath: $0) } ?? name
    }

    /// Runs dmactl, ten minutes at most, in case it hangs: without colour and without a terminal's width, whatever the
    /// environment of this test.
    public static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Command.Answer {
        try Command.run(
            [dmactl] + arguments, environment: ["NO_COLOR": "1", "COLUMNS": ""].merging(environment) { $1 })
    }
}

extension Command {
    public static let dmactl = Program.dmactl

    /// A shell command line, with the build's dmactl as `$D`.
    @discardableResult
    public static func shell(_ line: String, folder: String? = nil, limit: Double = 600) throws -> Answer {
        try run(["bash", "-c", line], environment: ["D": dmactl], folder: folder, limit: limit)
    }

    public static func copy(_ words: String..., folder: String? = nil, limit: Double = 600) throws -> Answer {
        try run([dmactl, "copy"] + words, folder: folder, limit: limit)
    }
}
