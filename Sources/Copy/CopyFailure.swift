// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// Why a copy was refused or failed: what could not be done with which endpoint, the reason, and what to try.
///
/// `DMAError` is a trivial value with numbers alone; a copy fails at paths and with the kernel's words, so that it has an error of its
/// own, which carries the engine's where that is the cause. `code` is stable across releases: match on it, never on the text.
public struct CopyFailure: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable, Codable {
        // The request
        case badSize, badEndpoint, badOption, badPlan, badList
        // The endpoints
        case notFound, notPermitted, isDirectory, notSupported, sameFile, targetTooSmall, readOnly, notReplaceable, danglingLink
        // Devices
        case mounted, held, needsConfirmation
        // On the way
        case readFailed, writeFailed, noSpace, quotaExceeded, fileTooLarge, sourceShrank, brokenPipe, cancelled, flushFailed,
            engineFailed, noReflink, outOfMemory
        // Afterwards
        case verifyFailed, patternMismatch, publishFailed, badJournal, attributesLost
    }

    /// The setting of ``CopyOptions`` that avoids the failure. A front end names its own option for it.
    package enum Remedy: Equatable, Sendable {
        case overwriteInPlace, append, confirmOverwriting, resume
    }

    /// What went wrong.
    public let code: Code
    /// The path or endpoint at which it did, as ``CopyPath/text`` has it; of ``Code/badOption`` the property of ``CopyOptions``.
    public let subject: String
    /// What was asked for, as it follows "cannot" and precedes the subject: `write`.
    public let asked: String
    /// Why not: what the file, the device or the kernel can do, or what it answered.
    public let possible: String
    /// What to try.
    public let cure: String
    /// The kernel's error number, or zero.
    public let errno: Int32
    /// The engine's error, where it is the cause.
    public let engine: DMAError?
    /// What had been noted before it failed, and what could not be put away after that.
    public let notes: [String]
    /// Which choice ``cure`` speaks of.
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

    /// The same with parts of it replaced.
    package func with(
        subject: String? = nil, possible: String? = nil, cure: String? = nil, notes: [String]? = nil, remedy: Remedy? = nil
    ) -> CopyFailure {
        CopyFailure(
            code, subject ?? self.subject, asked: asked, possible: possible ?? self.possible, cure: cure ?? self.cure,
            errno: errno, engine: engine, notes: notes ?? self.notes, remedy: remedy ?? self.remedy)
    }
}

extension CopyFailure: CustomStringConvertible {
    /// One line, whatever the path contains.
    public var description: String {
        var text = "cannot \(Self.oneLine(asked)) \(Self.quoted(subject)): \(Self.oneLine(possible))"
        if let engine { text += " [\(engine.code)]" }
        return cure.isEmpty ? text : text + "; try: \(Self.oneLine(cure))"
    }

    /// A path on one line: control characters and backslashes as `\n`, `\t`, `\xHH`, and so are bytes that are not UTF-8.
    package static func quoted(_ path: String) -> String { oneLine(path.replacing("\\", with: "\\\\")) }

    /// A text that may have a path in it, on one line and without what moves a terminal's cursor or turns its text around: as ``quoted(_:)``,
    /// but for backslashes.
    package static func oneLine(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            // The digits of such a byte follow: CopyPath.text.
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
