// SPDX-License-Identifier: Apache-2.0

/// The four kinds of wrong bytes: drivers/dma/dmatest.c, `dmatest_mismatch`.
public enum OracleFault: String, Hashable, Sendable, Codable, CaseIterable {
    /// A source changed.
    case sourceOverwritten = "source overwritten"
    /// A destination byte still has its initial value.
    case notCopied = "not copied"
    /// A destination byte outside the transfer changed.
    case copiedOutside = "copied outside"
    /// A destination byte was written, with another value.
    case mismatch = "mismatch"
}

/// One wrong byte.
public struct OracleMismatch: Hashable, Sendable, Codable {
    /// The offset in the buffer. Bytes.
    public let offset: Int
    /// The expected value.
    public let expected: UInt8
    /// The actual value.
    public let found: UInt8
    /// The kind of fault.
    public let fault: OracleFault

    /// A wrong byte at `offset`, with its fault.
    public init(offset: Int, expected: UInt8, found: UInt8, fault: OracleFault) {
        self.offset = offset
        self.expected = expected
        self.found = found
        self.fault = fault
    }
}

/// The wrong bytes of one buffer: the first mismatches, and the number of each fault.
public struct OracleFinding: Hashable, Sendable, Codable {
    /// The number of mismatches shown; dmatest shows 32.
    public static var shown: Int { 8 }

    /// The first ones, in the order of their offsets.
    public private(set) var first: [OracleMismatch] = []
    /// Bytes of a source that changed.
    public private(set) var sourceOverwritten = 0
    /// Bytes that still have their initial value.
    public private(set) var notCopied = 0
    /// Bytes outside the transfer that changed.
    public private(set) var copiedOutside = 0
    /// Bytes that were written with another value.
    public private(set) var mismatches = 0

    init() {}

    /// The number of wrong bytes.
    public var total: Int { sourceOverwritten + notCopied + copiedOutside + mismatches }

    /// The number of bytes with `fault`.
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
