// SPDX-License-Identifier: Apache-2.0

public import CDMA
public import DMACore
public import DMAEngineKit

/// The simplest possible engine: 64-byte entries in one ring, completed in order by a device that takes one step for each poll.
/// It moves nothing. It serves to count the cost of the contract alone, compared with the same ring in C.
@safe @frozen
public struct RingEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    @inlinable public static var order: CompletionOrder { .inOrder }
    @usableFromInline let entries: UnsafeMutableRawPointer
    @usableFromInline let mask: UInt32
    @usableFromInline var head: UInt32 = 0
    @usableFromInline var tail: UInt32 = 0
    @usableFromInline var device: UInt32 = 0
    @usableFromInline let doorbell: UnsafeMutableRawPointer

    /// The size of an entry, and the offsets of its fields.
    @usableFromInline static var stride: Int { 64 }

    /// A ring of `entries` entries, a power of two.
    public init(entries count: Int) {
        unsafe entries = .allocate(byteCount: count * RingEngine.stride, alignment: 64)
        unsafe entries.initializeMemory(as: UInt8.self, repeating: 0, count: count * RingEngine.stride)
        mask = UInt32(count - 1)
        unsafe doorbell = .allocate(byteCount: 64, alignment: 64)
        unsafe doorbell.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe doorbell.deallocate()
    }

    /// Whether an entry is free.
    @inlinable @inline(__always)
    public var hasRoom: Bool { tail &- head <= mask }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "ring", implementation: "scripted", operations: [.copy, .fill], depth: Int(mask) + 1)
        capabilities.flags = [.fence]
        return capabilities
    }

    @inlinable @inline(__always)
    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // The caller knows that there is room: a channel never has more in flight than the ring has entries.
        let entry = unsafe entries + Int(tail & mask) &* RingEngine.stride
        unsafe entry.storeBytes(of: descriptor.kind.rawValue, as: UInt8.self)
        unsafe entry.storeBytes(of: UInt8(truncatingIfNeeded: descriptor.flags.rawValue), toByteOffset: 1, as: UInt8.self)
        unsafe entry.storeBytes(of: tag, toByteOffset: 4, as: UInt32.self)
        unsafe entry.storeBytes(of: descriptor.source, toByteOffset: 8, as: UInt64.self)
        unsafe entry.storeBytes(of: descriptor.destination, toByteOffset: 16, as: UInt64.self)
        unsafe entry.storeBytes(of: descriptor.count, toByteOffset: 24, as: UInt64.self)
        unsafe entry.storeBytes(of: descriptor.value, toByteOffset: 32, as: UInt64.self)
        tail &+= 1
        return .accepted
    }

    @inlinable @inline(__always)
    public mutating func issuePending() { unsafe cdma_store_release32(doorbell, tail) }

    @inlinable @inline(__always)
    mutating func step() {
        guard unsafe device != cdma_load_acquire32(doorbell) else { return }
        let entry = unsafe entries + Int(device & mask) &* RingEngine.stride
        unsafe entry.storeBytes(of: entry.load(fromByteOffset: 4, as: UInt32.self), toByteOffset: 60, as: UInt32.self)
        device &+= 1
        unsafe cdma_store_release32(entry + 56, device)
    }

    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        step()
        let entry = unsafe entries + Int(head & mask) &* RingEngine.stride
        // The device's sequence number replaces a phase bit: an entry of the previous round has another one.
        let number = head &+ 1
        guard unsafe cdma_load_acquire32(entry + 56) == number else { return nil }
        let tag = unsafe entry.load(fromByteOffset: 60, as: UInt32.self)
        head = number
        return Completion(tag: tag)
    }

    public mutating func terminate() {}

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        head = tail
        device = tail
        return true
    }
}
