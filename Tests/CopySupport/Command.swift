// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// Runs programs for tests, each with a limit of time.
public struct Command: Sendable {
    public struct Answer: Sendable {
        /// The exit status, or 128 and the signal, as shells count.
        public var status: Int32
        public var output: [UInt8]
        public var errors: String
        public var seconds: Double
        public var text: String { String(decoding: output, as: UTF8.self) }
    }

    /// A program that was started and not waited for.
    public final class Running {
        let process: Process
        private let output: URL
        private let errors: URL
        private let began = Date()
        public var identifier: Int32 { process.processIdentifier }
        public var isRunning: Bool { process.isRunning }

        init(_ process: Process, _ output: URL, _ errors: URL) {
            self.process = process
            self.output = output
            self.errors = errors
        }

        /// Waits until the program handles the signal: before, it would kill it, or where it was started with the signal ignored, be lost.
        public func listens(to number: Int32, limit: Double = 30) -> Bool {
            let end = Date() + limit
            while Date() < end {
                let status = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
                for line in status.split(separator: "\n") where line.hasPrefix("SigCgt:") {
                    let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) ?? 0
                    if mask >> UInt64(number - 1) & 1 == 1 { return true }
                }
                usleep(2000)
            }
            return false
        }

        public func signal(_ number: Int32) { kill(process.processIdentifier, number) }

        /// Waits for the end; a program that takes longer than `limit` seconds is killed, and answers 137.
        public func wait(limit: Double = 60) -> Answer {
            let end = Date() + limit
            while process.isRunning, Date() < end { usleep(2000) }
            if process.isRunning { signal(SIGKILL) }
            process.waitUntilExit()
            let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
            let answer = Answer(
                status: status, output: (try? [UInt8](Data(contentsOf: output))) ?? [],
                errors: (try? String(decoding: Data(contentsOf: errors), as: UTF8.self)) ?? "",
                seconds: -began.timeIntervalSinceNow)
            try? FileManager.default.removeItem(at: output)
            try? FileManager.default.removeItem(at: errors)
            return answer
        }
    }

    /// The programs of this build lie beside the test program.
    public static let folder = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    public static let dmactl = folder.appending(path: "dmactl").path

    public static func start(_ words: [String], input: URL? = nil, folder: String? = nil) throws -> Running {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = words
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        let name = FileManager.default.temporaryDirectory.appending(path: "dmactl-test-\(UUID().uuidString)")
        let output = name.appendingPathExtension("out")
        let errors = name.appendingPathExtension("err")
        for file in [output, errors] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        process.standardInput = try input.map { try FileHandle(forReadingFrom: $0) } ?? FileHandle.nullDevice
        try process.run()
        return Running(process, output, errors)
    }

    @discardableResult
    public static func run(
        _ words: [String], input: URL? = nil, folder: String? = nil, limit: Double = 60
    ) throws -> Answer {
        try start(words, input: input, folder: folder).wait(limit: limit)
    }

    /// A line for the shell, with the build's dmactl as `$D`.
    @discardableResult
    public static func shell(_ line: String, folder: String? = nil, limit: Double = 60) throws -> Answer {
        try run(["D=\(dmactl)", "bash", "-c", line], folder: folder, limit: limit)
    }

    public static func copy(_ words: String..., folder: String? = nil, limit: Double = 60) throws -> Answer {
        try run([dmactl, "copy"] + words, folder: folder, limit: limit)
    }
}
