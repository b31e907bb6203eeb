// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Runs programs for tests, each with a time limit.
public struct Command: Sendable {
    public struct Answer: Sendable {
        /// The exit status, or 128 plus the signal, as in shells.
        public var status: Int32
        /// Whether a signal ended the program, and not the program itself.
        public var isKilled: Bool
        public var bytes: [UInt8]
        public var errors: String
        public var seconds: Double
        public var output: String { String(decoding: bytes, as: UTF8.self) }
    }

    /// A program that was started and not waited for. It ends with this value, and so do the programs that it has started.
    public final class Running {
        private let process: ChildProcess
        private let folder: URL
        private let began = Date()
        public var identifier: Int32 { process.identifier }
        public var isRunning: Bool { process.isRunning }

        fileprivate init(_ process: ChildProcess, _ folder: URL) {
            self.process = process
            self.folder = folder
        }

        deinit {
            end()
            try? FileManager.default.removeItem(at: folder)
        }

        /// Waits until the program handles the signal: before that, it would end the program or, if it was started with the
        /// signal ignored, be lost.
        public func listens(to number: Int32, limit: Double = 60) -> Bool { waits(limit) { $0 >> UInt64(number - 1) & 1 == 1 } }

        /// Waits until the program no longer handles the signal.
        public func isDeaf(to number: Int32, limit: Double = 60) -> Bool { waits(limit) { $0 >> UInt64(number - 1) & 1 == 0 } }

        /// Waits for a condition on the set of signals that the program handles, a bit for each.
        private func waits(_ limit: Double, until holds: (UInt64) -> Bool) -> Bool {
            let end = Date() + limit
            while Date() < end {
                let status = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
                for line in status.split(separator: "\n") where line.hasPrefix("SigCgt:") {
                    if let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16), holds(mask) {
                        return true
                    }
                }
                usleep(2000)
            }
            return false
        }

        /// Waits until the program has a file open whose path matches.
        public func opens(limit: Double = 60, _ wanted: (String) -> Bool) -> Bool {
            let (end, folder) = (Date() + limit, "/proc/\(identifier)/fd")
            while Date() < end {
                for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                    let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(name)")
                    if let path, wanted(path) { return true }
                }
                usleep(2000)
            }
            return false
        }

        public func signal(_ number: Int32) { kill(process.identifier, number) }

        /// Waits for the end; a program that takes longer than `limit` seconds is killed, and returns 137.
        public func wait(limit: Double = 600) -> Answer {
            let end = Date() + limit
            while process.isRunning, Date() < end { usleep(2000) }
            self.end()
            let (status, signal) = process.wait()
            func text(_ name: String) -> [UInt8] { (try? FileBytes.read(folder.appending(path: name).path)) ?? [] }
            return Answer(
                status: status ?? 128 + (signal ?? 0), isKilled: signal != nil,
                bytes: text("out"), errors: String(decoding: text("err"), as: UTF8.self),
                seconds: -began.timeIntervalSinceNow)
        }

        private func end() {
            if process.isRunning { kill(-process.identifier, SIGKILL) }
            _ = process.wait()
        }
    }

    /// Starts a program found by PATH or by its path. Both outputs go to files, so that neither can fill up and block it.
    ///
    /// - Parameters:
    ///   - input: the text of standard input; nil for nothing.
    ///   - environment: in addition to that of the test.
    ///   - folder: the working directory; nil for that of the test.
    public static func start(
        _ words: [String], input: String? = nil, environment: [String: String] = [:], folder: String? = nil
    ) throws -> Running {
        let own = FileManager.default.temporaryDirectory.appending(path: "dma-command-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: own, withIntermediateDirectories: false)
        // mkfs and losetup require root.
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        let all = ProcessInfo.processInfo.environment.merging(["PATH": path]) { $1 }.merging(environment) { $1 }
        let place = folder.map { ["--chdir=\($0)"] } ?? []
        do {
            if let folder { _ = try FileManager.default.contentsOfDirectory(atPath: folder) }
            let text = own.appending(path: "in")
            if let input { try Data(input.utf8).write(to: text) }
            let process = try ChildProcess(
                ["/usr/bin/env"] + place + words, environment: all, input: input == nil ? "/dev/null" : text.path,
                output: own.appending(path: "out").path, errors: own.appending(path: "err").path)
            return Running(process, own)
        } catch {
            try? FileManager.default.removeItem(at: own)
            throw error
        }
    }

    @discardableResult
    public static func run(
        _ words: [String], input: String? = nil, environment: [String: String] = [:], folder: String? = nil,
        limit: Double = 600
    ) throws -> Answer {
        try start(words, input: input, environment: environment, folder: folder).wait(limit: limit)
    }
}
