// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The periods of a cyclic transfer as a ring of buffers that the kernel fills one after the other, each incrementally
/// (`IOU_PBUF_RING_INC`, Linux 6.12).
///
/// Source: io_uring_register(2), IORING_REGISTER_PBUF_RING; io_uring_setup_buf_ring(3).
@safe
final class BufferRing {
    /// IOU_PBUF_RING_INC
    static let incremental: UInt16 = 2

    let group: UInt16
    private let carrier: any Carrier
    private let memory: MappedPages
    private let mask: UInt16
    private var tail: UInt16 = 0
    private let isRegistered: Bool

    /// Nil where the kernel does not support such rings, or incremental consumption.
    init?(_ carrier: any Carrier, group: UInt16, periods: Int) {
        // SAFETY: the memory is this object's, as long as a ring of that many entries, and outlives the registration, which
        // `deinit` ends; the structure is local, and read before the call returns.
        guard carrier.isKernel, periods <= 1 << 14 else { return nil }
        var entries = 2
        while entries < periods + 1 { entries *= 2 }
        guard let memory = try? MappedPages(count: max(entries * 16, cdma_page_size())) else { return nil }
        let address = unsafe UInt64(UInt(bitPattern: memory.base))
        self.memory = memory
        self.carrier = carrier
        self.group = group
        mask = UInt16(entries - 1)
        var request = cdma_uring_buffer_ring()
        request.address = address
        request.entries = UInt32(entries)
        request.group = group
        request.flags = Self.incremental
        let result = unsafe withUnsafeMutablePointer(to: &request) {
            unsafe carrier.register(RegisterOperation.bufferRing, $0, 1)
        }
        isRegistered = result.errno == nil
        if !isRegistered { return nil }
    }

    deinit {
        // SAFETY: the kernel reads a local structure before the call returns; afterwards it no longer uses the memory.
        if isRegistered {
            var request = cdma_uring_buffer_ring()
            request.group = group
            unsafe withUnsafeMutablePointer(to: &request) {
                ReleaseFailures.note(unsafe carrier.register(RegisterOperation.endBufferRing, $0, 1))
            }
        }
    }

    /// Provides one more buffer to the kernel.
    func add(_ address: UInt64, count: UInt32, number: UInt16) {
        // SAFETY: the mask keeps the index inside the memory, and an entry is 16 bytes. The kernel reads it only after the tail
        // has advanced. Not the whole entry: the first one's last word is the ring's tail.
        let place = unsafe memory.base + Int(tail & mask) * 16
        unsafe place.storeBytes(of: address, as: UInt64.self)
        unsafe (place + 8).storeBytes(of: count, as: UInt32.self)
        unsafe (place + 12).storeBytes(of: number, as: UInt16.self)
        tail &+= 1
        unsafe cdma_uring_buffer_tail(memory.base, tail)
    }
}
