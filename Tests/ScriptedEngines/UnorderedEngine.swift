// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The same ring, for a channel specialized for out-of-order completion: it measures the cost of the list of free slots.
@safe @frozen
public struct UnorderedEngine: ~Copyable, Engine {
    @usableFromInline var ring: RingEngine

    /// A ring of `entries` entries, a power of two.
    public init(entries: Int) { ring = RingEngine(entries: entries) }

    @inlinable public static var order: CompletionOrder { .outOfOrder }
    public var addressing: EngineAddressing { .cpu }
    public var capabilities: Capabilities {
        var capabilities = ring.capabilities
        capabilities.completesInOrder = false
        return capabilities
    }
    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        unsafe ring.enqueue(descriptor, tag: tag)
    }
    @inlinable @inline(__always)
    public mutating func issuePending() { ring.issuePending() }
    @inlinable @inline(__always)
    public mutating func next() -> Completion? { ring.next() }
    public mutating func terminate() { ring.terminate() }
    public mutating func quiesce(by deadline: Deadline) -> Bool { ring.quiesce(by: deadline) }
}
