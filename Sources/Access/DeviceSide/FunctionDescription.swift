// SPDX-License-Identifier: Apache-2.0

/// What a model is on its bus: what its configuration space says.
public struct FunctionDescription: Sendable {
    /// A range of registers.
    public struct Region: Sendable {
        /// The number of its base address register, 0 to 5.
        public var index: Int
        /// Bytes, a power of two of at least 16.
        public var count: UInt64
        /// Whether it takes two registers, for addresses of 64 bits.
        public var isWide: Bool

        /// The range of register `index`.
        public init(_ index: Int, count: UInt64, isWide: Bool = false) {
            self.index = index
            self.count = count
            self.isWide = isWide
        }
    }

    /// The vendor's ID.
    public var vendor: UInt16
    /// The device's ID.
    public var device: UInt16
    /// Which revision of it.
    public var revision: UInt8 = 0
    /// Class, subclass and programming interface, one byte each, the class above.
    public var classCode: UInt32 = 0xff0000
    /// Ranges of registers, each of another register.
    public var regions: [Region] = []
    /// Vectors of MSI: a power of two up to 32, or 0.
    public var msiVectors: Int = 0
    /// Whether it has an INTx pin.
    public var hasINTx = false
    /// Whether it is a PCI Express function that can be reset alone.
    public var hasFunctionReset = false

    /// A function without registers and interrupts, to be widened.
    public init(vendor: UInt16, device: UInt16) {
        self.vendor = vendor
        self.device = device
    }
}
