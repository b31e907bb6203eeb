// SPDX-License-Identifier: Apache-2.0

/// Which of four things happened to a byte that is not what it must be: drivers/dma/dmatest.c, `dmatest_mismatch`.
public enum OracleFault: String, Hashable, Sendable, Codable, CaseIterable {
    /// A source changed.
    case sourceOverwritten = "source overwritten"
    /// A destination byte still holds what it held before.
    case notCopied = "not copied"
    /// A destination byte outside the transfer changed.
    case copiedOutside = "copied outside"
    /// A destination byte was written, with another value.
    case mismatch = "mismatch"
}

/// One byte that is not what it must be.
public struct OracleMismatch: Hashable, Sendable, Codable {
    /// Into the buffer. Bytes.
    public let offset: Int
    /// What it must be.
    public let expected: UInt8
    /// What it is.
    public let found: UInt8
    /// Which of the four it is.
    public let fault: OracleFault

    /// The byte at `offset`, and what is wrong with it.
    public init(offset: Int, expected: UInt8, found: UInt8, fault: OracleFault) {
        self.offset = offset
        self.expected = expected
        self.found = found
        self.fault = fault
    }
}

/// What is wrong with one buffer: the first mismatches, and how many there are of each fault.
public struct OracleFinding: Hashable, Sendable, Codable {
    /// Mismatches that are shown; dmatest shows 32, which is more than anybody reads.
    public static var shown: Int { 8 }

    /// The first ones, in the order of their offsets.
    public private(set) var first: [OracleMismatch] = []
    /// Bytes of a source that changed.
    public private(set) var sourceOverwritten = 0
    /// Bytes that still hold what they held before.
    public private(set) var notCopied = 0
    /// Bytes outside the transfer that changed.
    public private(set) var copiedOutside = 0
    /// Bytes that were written with another value.
    public private(set) var mismatches = 0

    init() {}

    /// All bytes that are wrong.
    public var total: Int { sourceOverwritten + notCopied + copiedOutside + mismatches }

    /// How many bytes have `fault`.
    public func count(of fault: OracleFault) -> Int {
        switch fault {
        case .sourceOverwritten: sourceOverwritten
        case .notCopied: notCopied
        case .copiedOutside: copiedOutside
        case .mismatch: mismatches
        }
    }

    mutating func add(_ mismatch: OracleMismatch) {
        if first.count < OracleFinding.shown { first.append(mismatch) }
        switch mismatch.fault {
        case .sourceOverwritten: sourceOverwritten += 1
        case .notCopied: notCopied += 1
        case .copiedOutside: copiedOutside += 1
        case .mismatch: mismatches += 1
        }
    }
}

extension OracleFinding: CustomStringConvertible {
    public var description: String {
        let counts = OracleFault.allCases.filter { count(of: $0) > 0 }.map { "\($0.rawValue): \(count(of: $0)) bytes" }
        let bytes = first.map { "@\($0.offset) \($0.fault.rawValue): \(hex($0.expected)) expected, \(hex($0.found)) found" }
        let rest = total > first.count ? ["and \(total - first.count) more"] : []
        return counts.joined(separator: ", ") + " [" + (bytes + rest).joined(separator: "; ") + "]"
    }

    private func hex(_ value: UInt8) -> String {
        let digits = String(value, radix: 16)
        return digits.count == 1 ? "0x0" + digits : "0x" + digits
    }
}
