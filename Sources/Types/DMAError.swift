// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The one error of swift-dma: what was asked, what the device (or the kernel) can do, and the cure.
///
/// A trivial value, so that a refused submission costs no allocation and no reference count; the sentences are made when
/// somebody reads them. `code` is stable across releases: match on it, never on the text.
@frozen
public struct DMAError: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public let code: Code
    /// The number that was asked for, in the unit that `code` names. Zero where `code` takes none.
    public let asked: UInt64
    /// What the device, the kernel or the contract allows, in the same unit. Zero where `code` takes none.
    public let limit: UInt64
    /// `errno` below, the device's status above: one word, because a submission that carries another is no longer kept in registers.
    @usableFromInline let statusWords: UInt64

    /// An error with the numbers that its sentences name; those that `code` has no use for are ignored.
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
    /// The contract rule (CONTRACT, 1…39) that the request would have broken, or nil where none is concerned.
    public var rule: Int? { code.facts.rule }
    /// What was asked.
    public var request: String { fill(code.facts.request) }
    /// What the device or the kernel can do.
    public var ability: String { fill(code.facts.ability) }
    /// What to change.
    public var cure: String { (code == .kernelRefused ? DMAError.cure(errno) : nil) ?? fill(code.facts.cure) }

    /// What `errno` means, in the C library's words; nil where there is none.
    public var kernelText: String? { errno == 0 ? nil : DMAError.sentence(errno) }

    /// The C library's sentence for an error number.
    package static func sentence(_ errno: Int32) -> String {
        // SAFETY: the C function writes at most the capacity that it is told, and ends the text with a zero inside it.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 96) { text in
            guard let base = text.baseAddress else { return "" }
            unsafe cdma_error_text(errno, base, text.count)
            return unsafe String(cString: base)
        }
    }

    /// What to change where the kernel refused with this error number; nil for one that has no cure of its own.
    private static func cure(_ errno: Int32) -> String? {
        switch errno {
        case EBADF: "pass a descriptor that is open, with the access that the transfers need"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n, LimitNOFILE= in the unit file), or close some"
        case ENOMEM: "raise the limit of locked memory (ulimit -l, LimitMEMLOCK= in the unit file), or ask for less"
        case EACCES, EPERM:
            "get access: the file's mode, sysctl kernel.io_uring_disabled=0, or a seccomp profile that permits the call"
        case ENOSYS: "use a kernel that has the call, or a seccomp profile that permits it"
        case ENOENT, ENODEV, ENXIO: "name what exists"
        default: nil
        }
    }

    /// A number as it was counted: clients count in `Int`, and one below zero arrives as its bits.
    private static func number(_ value: UInt64) -> String {
        value > 1 << 63 ? String(Int64(bitPattern: value)) : String(value)
    }

    private func fill(_ template: StaticString) -> String {
        var result = ""
        for character in template.description {
            switch character {
            case "@": result += DMAError.number(asked)
            case "%": result += DMAError.number(limit)
            case "$": result += DomainNames.text(asked)
            case "#": result += DomainNames.text(limit)
            case "^": result += "0x" + String(asked, radix: 16)
            case "~": result += "0x" + String(limit, radix: 16)
            default: result.append(character)
            }
        }
        return result
    }
}

extension DMAError: CustomStringConvertible {
    public var description: String {
        var text = "\(code): asked: \(request); possible: \(ability); cure: \(cure)"
        if deviceStatus != 0 { text += " [device status 0x\(String(deviceStatus, radix: 16))]" }
        if let kernelText { text += " [\(kernelText), errno \(errno)]" }
        if let rule { text += " [rule \(rule)]" }
        return text
    }
}
