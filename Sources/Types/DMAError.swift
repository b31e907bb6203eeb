// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The error type of swift-dma: what could not be done, why, and the cure.
///
/// The value is trivial: a refused submission allocates nothing and counts no references. Its sentences are composed when they are read.
/// `code` is stable across releases: match on it, never on the text.
@frozen
public struct DMAError: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public let code: Code
    /// The value that was requested, in the unit that `code` implies (bytes, an address, a number of entries, …). Zero where `code` takes none.
    public let asked: UInt64
    /// What the device, the kernel or the contract allows, in the same unit. Zero where `code` takes none, or the limit is unknown.
    public let limit: UInt64
    /// `errno` in the low half, the device's status in the high half. One word, because a larger error is not returned in registers.
    @usableFromInline let statusWords: UInt64

    /// An error with the numbers that its sentences name. A number that `code` does not use is kept, and left out of the text.
    @inlinable
    public init(_ code: Code, asked: UInt64 = 0, limit: UInt64 = 0, errno: Int32 = 0, deviceStatus: UInt32 = 0) {
        self.code = code
        self.asked = asked
        self.limit = limit
        statusWords = UInt64(UInt32(bitPattern: errno)) | UInt64(deviceStatus) << 32
    }

    /// The kernel's error number, or zero.
    @inlinable public var errno: Int32 { Int32(bitPattern: UInt32(truncatingIfNeeded: statusWords)) }
    /// The device's own status word, or zero.
    @inlinable public var deviceStatus: UInt32 { UInt32(truncatingIfNeeded: statusWords >> 32) }
}

extension DMAError {
    /// The contract rule (1…39) that the request would have broken; nil where none applies.
    public var rule: Int? { code.rule }
    /// What could not be done, as a verb phrase: `map 8192 bytes`.
    public var request: String { texts.request }
    /// Why it could not be done, with the limit where there is one, the kernel's error and the device's status:
    /// `one mapping takes at most 4096 bytes`.
    public var reason: String {
        var details: [String] = []
        if let kernelText { details.append("\(kernelText), errno \(errno)") }
        if deviceStatus != 0 { details.append("device status 0x\(String(deviceStatus, radix: 16))") }
        return details.isEmpty ? texts.reason : "\(texts.reason) (\(details.joined(separator: "; ")))"
    }
    /// What to change, as an imperative that begins with a small letter and ends without a full stop: `map the range in pieces`.
    public var cure: String { texts.cure }
    /// One sentence without a full stop: `cannot map 8192 bytes: one mapping takes at most 4096 bytes`.
    public var message: String { "cannot \(request): \(reason)" }

    /// The C library's text for `errno`; nil where `errno` is 0.
    public var kernelText: String? { errno == 0 ? nil : DMAError.sentence(errno) }

    /// The C library's text for an error number.
    package static func sentence(_ errno: Int32) -> String {
        // SAFETY: the C function writes at most the capacity that it is given, and ends the text with a zero inside it.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 96) { text in
            guard let base = text.baseAddress else { return "" }
            unsafe cdma_error_text(errno, base, text.count)
            return unsafe String(cString: base)
        }
    }
}

extension DMAError: CustomStringConvertible {
    /// The message, the cure as a sentence, then the code and the contract's rule in brackets: `cannot map 8192 bytes: one mapping takes at
    /// most 4096 bytes. Map the range in pieces. [mappingTooLarge, rule 39]`.
    public var description: String {
        let cure = cure
        let names = ["\(code)"] + (rule.map { ["rule \($0)"] } ?? [])
        return "\(message). \(cure.prefix(1).uppercased() + cure.dropFirst()). [\(names.joined(separator: ", "))]"
    }
}
