// SPDX-License-Identifier: Apache-2.0

public import DMARegisters

/// A power state of a function.
public enum PowerState: UInt8, FieldChoice {
    // D0 works; D3hot answers its configuration space alone.
    case d0 = 0
    case d1 = 1
    case d2 = 2
    case d3hot = 3
}

/// The control and status register, 4 bytes behind the capability's beginning.
///
/// Source: PCI Bus Power Management Interface Specification 1.2, 3.2.4.
public struct PowerControl: RegisterLayout {
    public var word: UInt16
    public init(word: UInt16) { self.word = word }
    /// Bits 2 and 7:4.
    public static var preserved: UInt16 { 0x00f4 }
}

extension Field where Layout == PowerControl, Value == PowerState {
    /// The state that it is in, and is brought to by writing.
    public static var state: Self { Self(0...1) }
}

extension Field where Layout == PowerControl, Value == Bool {
    /// Going from D3hot to D0 resets nothing.
    public static var keepsState: Self { Self(3) }
    /// Signals PME.
    public static var isPMEEnabled: Self { Self(8) }
    /// A PME is pending; cleared by writing 1.
    public static var isPMEPending: Self { Self(15) }
}

/// Power management of a function.
public struct PowerManagement: Equatable, Sendable {
    /// Where the capability begins.
    public let offset: Int
    /// Which of D1 and D2 there are; D0 and D3hot always are.
    public let states: Set<PowerState>
    /// Whether going from D3hot to D0 resets the function.
    public let resetsInD3: Bool

    /// - Throws: `truncated`.
    public init(_ reader: some ConfigurationReader, _ capability: PCICapability) throws(ConfigurationError) {
        offset = capability.offset
        try reader.check(offset, 8)
        let capabilities = reader.half(at: offset + 2)
        var states: Set<PowerState> = [.d0, .d3hot]
        if capabilities & 0x200 != 0 { states.insert(.d1) }
        if capabilities & 0x400 != 0 { states.insert(.d2) }
        self.states = states
        resetsInD3 = !PowerControl(word: reader.half(at: offset + 4))[.keepsState]
    }

    /// Where the control register stands.
    public var control: Int { offset + 4 }
}
