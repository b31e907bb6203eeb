// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A program run to its end, with what it printed.
struct Ran {
    let status: Int32
    let output: String
    let errors: String

    /// At most two minutes. Both outputs go to files, so that neither can fill up and stop the program.
    init(_ program: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dma-tool-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/timeout")
        process.arguments = ["120", program] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (output, errors) = (folder.appending(path: "out"), folder.appending(path: "err"))
        for file in [output, errors] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        if let input {
            let file = folder.appending(path: "in")
            try input.write(to: file, atomically: true, encoding: .utf8)
            process.standardInput = try FileHandle(forReadingFrom: file)
        } else {
            process.standardInput = FileHandle.nullDevice
        }
        try process.run()
        process.waitUntilExit()
        status = process.terminationStatus
        self.output = String(decoding: try Data(contentsOf: output), as: UTF8.self)
        self.errors = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
    }
}

enum Program {
    /// The root of the package.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// dmactl, which lies where the tests were built.
    static let dmactl: String = {
        let own = URL(
            filePath: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        )
        let candidates = [own.deletingLastPathComponent(), URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()]
        let paths = candidates.map { $0.appending(path: "dmactl").path } + bundles
        return paths.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "dmactl"
    }()

    /// The bundle that the testing library's helper was told to load is an argument.
    private static let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }.map {
        URL(filePath: $0).deletingLastPathComponent().appending(path: "dmactl").path
    }

    static let hasValidator = (try? Ran("/usr/bin/python3", ["-c", "import jsonschema, yaml"]).status) == 0
    static let canUnshare = (try? Ran("/usr/bin/unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/sys"]).status) == 0

    static func has(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Without colour and with no terminal's width, whatever this test was started from.
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Ran {
        try Ran(dmactl, arguments, environment: ["NO_COLOR": "1", "COLUMNS": ""].merging(environment) { $1 })
    }
}
