// SPDX-License-Identifier: Apache-2.0

/// Why a machine of QEMU's cannot be started, or answers no more.
public struct QTestError: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable {
        /// There is no QEMU of that name.
        case missing
        /// It is there, and cannot be started.
        case notStarted
        /// It is older than what this package speaks to.
        case tooOld
        /// The kernel gives no memory, socket or thread for it.
        case noResources
        /// What was asked of the machine contradicts itself.
        case badConfiguration
        /// It ended.
        case ended
        /// It did not answer in time.
        case noAnswer
        /// Its answer is none of the protocol's.
        case badAnswer
    }

    /// What went wrong.
    public let code: Code
    /// What was asked, and what came of it.
    public let detail: String
    /// What QEMU wrote last, at most 4,096 bytes, without control characters.
    public let lastWords: String
    /// What to do.
    public let cure: String

    init(_ code: Code, _ detail: String, lastWords: String = "", cure: String? = nil) {
        self.code = code
        self.detail = detail
        self.lastWords = lastWords
        self.cure = cure ?? Self.cure(code)
    }

    private static func cure(_ code: Code) -> String {
        switch code {
        case .missing: "install it; Debian: apt-get install qemu-system-x86"
        case .notStarted: "see whether the file is a program of this machine, and may be executed"
        case .tooOld: "install QEMU 7.2 or later; Debian 12 has it: apt-get install qemu-system-x86"
        case .noResources: "raise the limits of open files and of threads (ulimit -n, ulimit -u), or use less memory"
        case .badConfiguration: "see the documentation of QTestConfiguration"
        case .ended: "see what it said; start it by hand with the same arguments"
        case .noAnswer: "raise QTestConfiguration.patience on a busy machine; see whether QEMU still runs"
        case .badAnswer: "use a QEMU of the distribution, and report its version"
        }
    }

    /// What a process wrote, made fit for a line of text.
    static func shown(_ bytes: some Collection<UInt8>) -> String {
        let text = String(decoding: bytes.suffix(4096), as: UTF8.self)
        let line = text.unicodeScalars.map { scalar -> Unicode.Scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: " "
            default: scalar
            }
        }
        return String(String.UnicodeScalarView(line)).split(separator: " ").joined(separator: " ")
    }
}

extension QTestError: CustomStringConvertible {
    public var description: String {
        let output = lastWords.isEmpty ? "" : "; its last output: \(lastWords)"
        return "\(detail)\(output). \(cure.prefix(1).uppercased() + cure.dropFirst()). [\(code.rawValue)]"
    }
}
