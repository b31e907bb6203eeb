// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// Why a copy was refused or failed: what could not be done with which endpoint, the reason, and what to try.
///
/// `DMAError` is a trivial value that holds numbers only. A copy fails at a path and with an error text of the kernel, so it has an error
/// type of its own, which holds the engine's error where that is the cause. `code` is stable across releases: match on it, not on the text.
public struct CopyFailure: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable, Codable {
        // The request
        case badSize, badEndpoint, badOption, badPlan, badList
        // The endpoints
        case notFound, notPermitted, isDirectory, notSupported, sameFile, targetTooSmall, readOnly, notReplaceable, danglingLink
        // Devices
        case mounted, held, needsConfirmation
        // During the copy
        case readFailed, writeFailed, noSpace, quotaExceeded, fileTooLarge, sourceShrank, brokenPipe, cancelled, flushFailed,
            engineFailed, noReflink, outOfMemory
        // After the data has been written
        case verifyFailed, patternMismatch, publishFailed, badJournal, attributesLost
    }

    /// The setting of ``CopyOptions`` that avoids the failure. A front end names its own option for it.
    package enum Remedy: Equatable, Sendable {
        case overwriteInPlace, append, confirmOverwriting, resume, rescue
    }

    /// What went wrong.
    public let code: Code
    /// The path or endpoint at which it did, as ``CopyPath/text`` has it; of ``Code/badOption`` the property of ``CopyOptions``.
    public let subject: String
    /// What was to be done, as it follows "cannot" and precedes the subject: `write`.
    public let asked: String
    /// Why it was not done: what the file, the device or the kernel allows, or the kernel's error.
    public let possible: String
    /// What to try, as a sentence; empty where nothing can be done.
    public let cure: String
    /// The kernel's error number, or zero.
    public let errno: Int32
    /// The engine's error, where it is the cause.
    public let engine: DMAError?
    /// What had been noted before the failure, and what could not be removed after it.
    public let notes: [String]
    /// The setting that ``cure`` ends with, if any.
    package let remedy: Remedy?

    /// A failure at `subject`.
    package init(
        _ code: Code, _ subject: String, asked: String, possible: String, cure: String, errno: Int32 = 0,
        engine: DMAError? = nil, notes: [String] = [], remedy: Remedy? = nil
    ) {
        self.remedy = remedy
        self.code = code
        self.subject = subject
        self.asked = asked
        self.possible = possible
        self.cure = cure
        self.errno = errno
        self.engine = engine
        self.notes = notes
    }

    /// The same failure with parts of it replaced.
    package func with(
        subject: String? = nil, possible: String? = nil, cure: String? = nil, notes: [String]? = nil, remedy: Remedy? = nil
    ) -> CopyFailure {
        CopyFailure(
            code, subject ?? self.subject, asked: asked, possible: possible ?? self.possible, cure: cure ?? self.cure,
            errno: errno, engine: engine, notes: notes ?? self.notes, remedy: remedy ?? self.remedy)
    }
}

extension CopyFailure: CustomStringConvertible {
    /// One line, whatever the path contains: "cannot write big.iso: no space left (needs 100 MiB, 52 MiB free). Delete files, …".
    public var description: String {
        var text = "cannot \(Self.oneLine(asked)) \(Self.quoted(subject)): \(Self.oneLine(possible))"
        if let engine { text += " [\(engine.code)]" }
        return cure.isEmpty ? text : text + ". " + Self.oneLine(Self.sentence(cure))
    }

    /// A cure as a sentence: those of an engine's error begin with a small letter and have no full stop.
    package static func sentence(_ cure: String) -> String {
        let text = cure.prefix(1).uppercased() + cure.dropFirst()
        return text.last == "." ? text : text + "."
    }

    /// A path on one line: control characters and backslashes as `\n`, `\t`, `\xHH`, and so are bytes that are not UTF-8.
    package static func quoted(_ path: String) -> String { oneLine(path.replacing("\\", with: "\\\\")) }

    /// A text that may contain a path, on one line and without characters that move a terminal's cursor or change the direction of text: as
    /// ``quoted(_:)``, except that backslashes stay.
    package static func oneLine(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            // CopyPath.text writes a byte that is not UTF-8 as U+0000 and two digits.
            case "\0": result += "\\x"
            case "\u{200e}", "\u{200f}", "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}":
                result += "\\u" + String(scalar.value, radix: 16)
            default:
                if scalar.value < 32 || (127..<160).contains(scalar.value) {
                    result += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }
}
