// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// What a PCI Express function is.
///
/// Source: PCI Express Base Specification 5.0, 7.5.3.2.
public enum ExpressKind: UInt8, Sendable {
    case endpoint = 0
    case legacyEndpoint = 1
    case rootPort = 4
    case upstreamPort = 5
    case downstreamPort = 6
    case bridgeToPCI = 7
    case bridgeFromPCI = 8
    case integratedEndpoint = 9
    case eventCollector = 10
}

/// A link's transfers a second on each lane.
///
/// Source: PCI Express Base Specification 5.0, 7.5.3.6 and 7.5.3.18; 6.0 for 64 GT/s.
public enum LinkSpeed: UInt8, Comparable, Sendable {
    // 2.5, 5, 8, 16, 32 and 64 GT/s.
    case gen1 = 1
    case gen2 = 2
    case gen3 = 3
    case gen4 = 4
    case gen5 = 5
    case gen6 = 6

    /// Millions of transfers a second, as a number.
    public var megatransfers: Int { [2500, 5000, 8000, 16_000, 32_000, 64_000][Int(rawValue) - 1] }
    public static func < (left: LinkSpeed, right: LinkSpeed) -> Bool { left.rawValue < right.rawValue }
}

/// A link's speed and lanes. Nil where the device says what no specification defines.
public struct Link: Equatable, Sendable {
    /// Transfers a second on each lane.
    public let speed: LinkSpeed?
    /// 1, 2, 4, 8, 12, 16 or 32.
    public let lanes: Int?

    init(_ word: UInt32) {
        speed = LinkSpeed(rawValue: UInt8(word & 0xf))
        let width = Int(word >> 4 & 0x3f)
        lanes = [1, 2, 4, 8, 12, 16, 32].contains(width) ? width : nil
    }
}

/// The device control register, 8 bytes behind the capability's beginning.
///
/// Source: PCI Express Base Specification 5.0, 7.5.3.4.
public struct DeviceControl: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
}

extension Field where Layout == DeviceControl, Value == Bool {
    /// Written as 1, starts a function level reset; reads as 0. Only where ``PCIExpress/hasFunctionReset``.
    public static var resetsFunction: Self { Self(15) }
    /// Its writes may overtake each other.
    public static var relaxesOrder: Self { Self(4) }
    /// Its requests need not be coherent.
    public static var skipsSnoop: Self { Self(11) }
}

extension Field where Layout == DeviceControl, Value == UInt8 {
    /// Binary logarithm of the largest payload, of units of 128 bytes.
    public static var payload: Self { Self(5...7) }
    /// Binary logarithm of the largest read request, of units of 128 bytes.
    public static var readRequest: Self { Self(12...14) }
}

/// The device status register, 10 bytes behind the capability's beginning.
public struct DeviceStatus: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
}

extension Field where Layout == DeviceStatus, Value == Bool {
    /// Requests of the function's own are not answered yet.
    public static var hasPendingRequests: Self { Self(5) }
}

/// The PCI Express capability.
public struct PCIExpress: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// What it is; nil for what no specification defines.
    public let kind: ExpressKind?
    /// Bytes of the largest payload that it can take: 128 to 4096.
    public let maximumPayload: Int?
    /// Whether it can be reset alone (FLR).
    public let hasFunctionReset: Bool
    /// What its link can do; nil where there is none.
    public let maximumLink: Link?
    /// What its link does; nil where there is none.
    public let link: Link?

    /// - Throws: `badField` for version 0; `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 12)
        let capabilities = reader.half(at: offset + 2)
        guard capabilities & 0xf != 0 else { throw .badField(at: offset + 2, value: UInt64(capabilities)) }
        kind = ExpressKind(rawValue: UInt8(capabilities >> 4 & 0xf))
        let device = reader.checkedWord(offset + 4)
        maximumPayload = device & 7 <= 5 ? 128 << Int(device & 7) : nil
        hasFunctionReset = device & 1 << 28 != 0
        // Functions that are part of the root complex have no link.
        let hasLink = kind != .integratedEndpoint && kind != .eventCollector
        if hasLink {
            try reader.check(offset, 20)
            maximumLink = Link(reader.checkedWord(offset + 12))
            link = Link(UInt32(reader.half(at: offset + 18)))
        } else {
            (maximumLink, link) = (nil, nil)
        }
    }

    /// Where the device control register stands.
    public var deviceControl: Int { offset + 8 }
    /// Where the device status register stands.
    public var deviceStatus: Int { offset + 10 }
}
