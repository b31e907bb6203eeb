// SPDX-License-Identifier: Apache-2.0

/// What may be changed on a channel at run time: the kernel's `struct dma_slave_config`, and what it lacks.
public struct EngineConfiguration: Equatable, Sendable {
    /// Which peripheral, by the engine's own number: the request line.
    public var peripheral: UInt32
    /// Bytes moved at once on the peripheral's side: 1, 2, 4, 8 … 64; 0 leaves it to the engine.
    public var width: UInt32
    /// Items of `width` moved each time the peripheral asks; 0 leaves it to the engine.
    public var burst: UInt32
    /// 0 is the lowest; fewer than the capabilities' `priorities`.
    public var priority: UInt32

    /// Everything left to the engine.
    public init(peripheral: UInt32 = 0, width: UInt32 = 0, burst: UInt32 = 0, priority: UInt32 = 0) {
        self.peripheral = peripheral
        self.width = width
        self.burst = burst
        self.priority = priority
    }
}
