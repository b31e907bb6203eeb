// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reads what the thread sanitizer reports, and tells races from what it cannot see.
///
/// What it cannot see: a `Mutex` of the standard library that is contended. The fast path of its lock is compiled into the caller,
/// where the sanitizer sees the acquiring exchange; but where somebody has the lock, the acquisition happens in `_lockSlow`, and the
/// release in `_unlockSlow`, in libswiftSynchronization.so, which is not built with the sanitizer. It then takes two bodies of the
/// same `withLock` for unordered, which the kernel's futex has ordered.
///
/// So a report is explained if, and only if, both of its accesses happen inside the body of a `withLock` of the same expression: a
/// frame of each stack was called from a source line that says so. Everything else is a race. No list of names is kept that could
/// hide a later one.
public enum Races {
    struct Frame: Equatable {
        let file: String
        let line: Int
    }

    public struct Verdict: Equatable {
        public let findings: [Finding]
        /// Reports that a lock explains.
        public let explained: Int

        public init(findings: [Finding], explained: Int) {
            self.findings = findings
            self.explained = explained
        }
    }

    /// - Parameters:
    ///   - log: what the program printed.
    ///   - source: the line of a source file, or nil where there is none.
    public static func check(_ log: String, source: (String, Int) -> String?) -> Verdict {
        var findings: [Finding] = []
        var explained = 0
        var report: [Substring]?
        for line in lines(of: log) {
            if line.hasPrefix("WARNING: ThreadSanitizer:") { report = [] }
            report?.append(line)
            guard line.hasPrefix("SUMMARY: ThreadSanitizer:"), let whole = report else { continue }
            report = nil
            let stacks = accesses(whole)
            let locks = stacks.map { lock($0, source) }
            if stacks.count == 2, let first = locks[0], first == locks[1] {
                explained += 1
            } else {
                let place = stacks.first?.first { !$0.file.isEmpty }
                findings.append(
                    Finding(
                        place?.file ?? "?", place?.line ?? 0, String(line.dropFirst(9)),
                        cure: "order the two accesses: a Mutex, an atomic, or one owner; the report is in the log"))
            }
        }
        return Verdict(findings: findings, explained: explained)
    }

    /// The stacks of the two accesses. Those of how threads and memory came to be follow, and are left out.
    static func accesses(_ report: [Substring]) -> [[Frame]] {
        var stacks: [[Frame]] = []
        var isAccess = false
        for line in report.dropFirst() {
            if line.hasPrefix("    #") {
                if isAccess, let frame = frame(line) { stacks[stacks.count - 1].append(frame) }
            } else if line.hasPrefix("  "), line.hasSuffix(":") {
                // What follows the accesses says where the memory, the threads and the locks come from.
                let isOrigin = ["  Location", "  Thread", "  Mutex", "  As if"].contains { line.hasPrefix($0) }
                isAccess = !isOrigin && (line.contains(" by thread ") || line.contains(" by main thread"))
                if isAccess { stacks.append([]) }
            }
        }
        return stacks
    }

    /// `    #1 NAME FILE:LINE:COLUMN (BINARY+OFFSET) …`; a line that is not known is 0.
    static func frame(_ line: Substring) -> Frame? {
        // Behind the place stand the program and, in a second pair of parentheses, the build's identifier.
        guard
            let end = line.range(of: " (/")
                ?? line.range(of: "+0x").flatMap({ line[..<$0.lowerBound].range(of: " (", options: .backwards) })
        else { return nil }
        let head = line[..<end.lowerBound]
        guard let space = head.range(of: " /") else { return Frame(file: "", line: 0) }
        let parts = head[head.index(after: space.lowerBound)...].split(separator: ":")
        return Frame(file: String(parts[0]), line: parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
    }

    /// What is locked around an access: `state.withLock`.
    static func lock(_ stack: [Frame], _ source: (String, Int) -> String?) -> String? {
        for frame in stack.dropFirst() where frame.line > 0 {
            guard let text = source(frame.file, frame.line), let call = text.range(of: ".withLock") else { continue }
            let expression = text[..<call.lowerBound].reversed().prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
            return String(expression.reversed())
        }
        return nil
    }
}
