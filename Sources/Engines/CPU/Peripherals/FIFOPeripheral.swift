// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit

/// A software peripheral: two FIFOs, of which one side belongs to an engine and the other to the code that simulates the wire.
///
/// It has the properties that a peripheral shows its DMA controller: an item width, a depth, and a request line that is raised
/// while a burst can be moved. So transfers really wait for the device, and demand mode is real: an engine moves as much as the
/// FIFO requests, when it requests it.
///
/// Each direction has one user at a time. A transfer that finds its direction in use, by the same engine or by another one over
/// the same FIFO, waits until the earlier ones have ended. Threads that simulate the wire take turns call by call.
@safe
public final class FIFOPeripheral: Sendable {
    /// Bytes per item; 1, 2, 4 or 8. Transfers are whole numbers of items.
    public let width: Int
    /// Bytes from the wire, for the engine to write to memory.
    let receiving: ByteRing
    /// Bytes from memory, for the wire.
    let transmitting: ByteRing
    /// Bytes from the wire that found no room: a UART's overrun.
    private let lost = Counter()

    /// A peripheral with two FIFOs of `depth` bytes, rounded up to a power of two from 64 to 2^30.
    ///
    /// - Parameter loopback: transmitted bytes are received again. There is one FIFO: the wire may fill or empty it while no
    ///   transfer does.
    /// - Throws: `badConfiguration` where the width is not 1, 2, 4 or 8.
    public init(depth: Int = 4096, width: Int = 4, loopback: Bool = false) throws(DMAError) {
        guard [1, 2, 4, 8].contains(width) else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: width), limit: 8)
        }
        self.width = width
        receiving = ByteRing(capacity: depth)
        transmitting = loopback ? receiving : ByteRing(capacity: depth)
    }

    /// The engine's end of one direction.
    func end(toDevice: Bool) -> FIFOEnd { toDevice ? transmitting.writing : receiving.reading }

    /// For the engine: moves a whole list if no transfer uses this direction and the FIFO is ready for all of it. False:
    /// nothing was moved.
    ///
    /// - Parameters:
    ///   - list: `segments` segments, which together have `count` bytes.
    ///   - count: bytes, at least 1.
    @unsafe
    func moveAtOnce(_ list: UnsafePointer<Segment>, segments: Int, count: Int, toDevice: Bool) -> Bool {
        // The width is a power of two.
        guard count > 0, count & (width - 1) == 0 else { return false }
        let ring = toDevice ? transmitting : receiving
        // SAFETY: the caller vouches for the list and its segments; while the end is held, this thread is its one user.
        return end(toDevice: toDevice).withWire {
            guard (toDevice ? ring.room : ring.count) >= count else { return 0 }
            return unsafe ring.move(list, segments: segments, count: count, toRing: toDevice) ? 1 : 0
        } == 1
    }

    /// The capacity of each FIFO, in bytes.
    public var depth: Int { receiving.capacity }
    /// Bytes that wait to be moved into memory.
    public var received: Int { receiving.count }
    /// Bytes that wait for the wire.
    public var pending: Int { transmitting.count }
    /// Bytes from the wire that were lost because the FIFO was full.
    public var overrun: UInt64 { lost.value }

    /// Receives bytes from the wire. Bytes that do not fit are lost and counted, unless `keepsRest`. Any thread.
    ///
    /// - Returns: how many were stored; 0 on a loopback to which a transfer transmits.
    @discardableResult
    public func deliver(_ bytes: RawSpan, keepsRest: Bool = false) -> Int {
        // SAFETY: the buffer is the span's, which outlives the call; the ring copies.
        let taken = unsafe bytes.withUnsafeBytes { buffer in
            // The span outlives the call, and the ring copies.
            guard let start = buffer.baseAddress else { return 0 }
            return receiving.writing.withWire { unsafe receiving.write(start, count: buffer.count) }
        }
        if !keepsRest, taken < bytes.byteCount { lost.add(UInt64(bytes.byteCount - taken)) }
        return taken
    }

    /// Passes bytes to the wire. Any thread.
    ///
    /// - Returns: how many were read: fewer than requested where the FIFO ran empty; 0 on a loopback from which a transfer
    ///   receives.
    public func collect(into bytes: inout MutableRawSpan) -> Int {
        // SAFETY: as above; exclusive access to the span is exclusive access to its bytes.
        unsafe bytes.withUnsafeMutableBytes { buffer in
            // As above.
            guard let start = buffer.baseAddress else { return 0 }
            return transmitting.reading.withWire { unsafe transmitting.read(into: start, count: buffer.count) }
        }
    }
}
