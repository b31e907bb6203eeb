// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
internal import DMATypes

/// What passed between a driver and its device.
public enum AccessEvent: Hashable, Sendable {
    /// A read of registers: region, offset, width in bytes, value.
    case read(Int, UInt64, Int, UInt64)
    /// A write to registers: region, offset, width in bytes, value.
    case write(Int, UInt64, Int, UInt64)
    /// A write that starts something.
    case doorbell(Int, UInt64, Int, UInt64)
    /// What was written to memory is seen by the device before what follows.
    case barrier
    /// Posted writes were waited for.
    case flush
    /// An access that the region does not have: region, offset, width.
    case refused(Int, UInt64, Int)
    /// A read of the configuration space: offset, width, value.
    case configurationRead(Int, Int, UInt32)
    /// A write to the configuration space: offset, width, value.
    case configurationWrite(Int, Int, UInt32)
    /// Memory was mapped for the device: bus address, bytes.
    case map(UInt64, UInt64)
    /// Memory was unmapped: bus address, bytes.
    case unmap(UInt64, UInt64)
    /// An interrupt that was handed to the driver.
    case interrupt(Int)
    /// Interrupts were switched on: their kind, and the number of vectors.
    case interruptsOn(InterruptKind, Int)
    /// Interrupts were switched off.
    case interruptsOff
    /// The device was claimed for an owner.
    case claim
    /// The device was reset.
    case reset
    /// The owner has released the device.
    case release
}

/// Writes down what passes, in its order: a test asserts by it what a driver does, and when.
///
/// Thread rules: from any thread.
public final class Recorder: Sendable {
    private struct State {
        var events: [AccessEvent] = []
        var dropped: UInt64 = 0
    }
    private let state = Locked(State())
    private let most: Int

    /// - Parameter most: events that are kept; those after them are counted alone.
    public init(most: Int = 1 << 20) { self.most = max(most, 0) }

    /// What was written down, oldest first.
    public var events: [AccessEvent] { state.withLock { $0.events } }
    /// Events that there was no room for.
    public var dropped: UInt64 { state.withLock { $0.dropped } }
    /// Begins anew.
    public func clear() { state.withLock { $0 = State() } }

    func add(_ event: AccessEvent) {
        state.withLock { state in
            if state.events.count < most { state.events.append(event) } else { state.dropped &+= 1 }
        }
    }
}
