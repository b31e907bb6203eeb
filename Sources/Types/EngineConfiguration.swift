// SPDX-License-Identifier: Apache-2.0

/// The settings of a channel that can change at run time: the kernel's `struct dma_slave_config`, and a priority.
public struct EngineConfiguration: Equatable, Sendable {
    /// The peripheral, by the engine's own number: the request line.
    public var peripheral: UInt32
    /// Bytes per access on the peripheral's side: 1, 2, 4, 8 … 64; 0 leaves it to the engine.
    public var width: UInt32
    /// Items of `width` moved per request of the peripheral; 0 leaves it to the engine.
    public var burst: UInt32
    /// The priority: 0 is the lowest; below the capabilities' `priorities`.
    public var priority: UInt32

    /// A configuration that leaves everything to the engine.
    public init(peripheral: UInt32 = 0, width: UInt32 = 0, burst: UInt32 = 0, priority: UInt32 = 0) {
        self.peripheral = peripheral
        self.width = width
        self.burst = burst
        self.priority = priority
    }
}
