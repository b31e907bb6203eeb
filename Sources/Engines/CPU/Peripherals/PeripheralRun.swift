// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// The progress of one transfer between memory and a peripheral, or round a ring.
///
/// It waits for its end of the FIFO, and then owns it; the code that runs it calls ``end()`` when it has ended or was dropped.
struct PeripheralRun {
    let peripheral: FIFOPeripheral
    /// Bytes moved each time the request line is raised.
    let burst: Int
    let toDevice: Bool
    let isCyclic: Bool
    /// The length of the list, or of the ring, in bytes.
    let count: UInt64
    /// The length of a period in bytes; 0 where the run is not cyclic.
    let period: UInt64
    /// The position in the list; nil for a ring.
    private var cursor: SegmentCursor?
    private let fifoEnd: FIFOEnd
    private let ticket: UInt64
    private var ownsEnd = false
    /// Bytes moved since the start.
    private(set) var moved: UInt64 = 0

    /// Nil where the length is not a whole number of the peripheral's items.
    init?(_ descriptor: Descriptor, _ peripheral: FIFOPeripheral, _ configuration: EngineConfiguration) {
        self.peripheral = peripheral
        isCyclic = descriptor.kind == .cyclic
        toDevice = Self.isToDevice(descriptor)
        count = descriptor.count
        period = isCyclic ? descriptor.value : 0
        let items = configuration.burst == 0 ? 1 : Int(configuration.burst)
        let (bytes, overflow) = items.multipliedReportingOverflow(by: peripheral.width)
        burst = overflow ? peripheral.depth : min(bytes, peripheral.depth)
        guard count > 0, count % UInt64(peripheral.width) == 0, !isCyclic || period % UInt64(peripheral.width) == 0 else {
            return nil
        }
        if let list = unsafe descriptor.operands, !isCyclic {
            // SAFETY: the list stays valid until the completion is reported or the engine has quiesced, and this value does not outlive that.
            cursor =
                unsafe toDevice
                ? SegmentCursor(list, number: Int(descriptor.sourceCount))
                : SegmentCursor(list + Int(descriptor.sourceCount), number: Int(descriptor.destinationCount))
        }
        fifoEnd = peripheral.end(toDevice: toDevice)
        ticket = fifoEnd.enter()
        // Past empty segments; at the end of the list nothing is left to move.
        _ = cursor?.advance(by: 0)
    }

    /// Whether the transfer goes from memory to the peripheral.
    static func isToDevice(_ descriptor: Descriptor) -> Bool {
        descriptor.kind == .cyclic ? descriptor.source != 0 : descriptor.sourceCount > 0
    }

    /// The residue: of the list, or of this pass over the ring (rule 21).
    var residue: UInt64 { isCyclic ? count - moved % count : count - moved }
    var isOver: Bool { !isCyclic && moved == count }
    /// Periods since the start.
    var periods: UInt64 { period == 0 ? 0 : moved / period }

    /// Releases the FIFO's end to the next transfer.
    func end() { if fifoEnd.leave(ticket) { ring.signal() } }

    private var ring: ByteRing { toDevice ? peripheral.transmitting : peripheral.receiving }

    /// Bytes that can be moved now: whole bursts while that many are left, whole items at the end. 0 for a transfer that does
    /// not own the FIFO's end yet.
    private var ready: Int {
        guard ownsEnd || fifoEnd.isOwned(by: ticket) else { return 0 }
        let available = toDevice ? ring.room : ring.count
        let left = isCyclic ? .max : Int(clamping: count - moved)
        let length = min(available, left)
        return length >= burst ? length / burst * burst : left < burst ? length / peripheral.width * peripheral.width : 0
    }

    /// Moves up to `limit` bytes, as far as the peripheral is ready. Returns how many; nil for a null address.
    mutating func step(_ descriptor: Descriptor, limit: Int) -> Int? {
        if !ownsEnd { ownsEnd = fifoEnd.isOwned(by: ticket) }
        var left = min(ready, limit / peripheral.width * peripheral.width)
        var total = 0
        while left > 0 {
            let segment = place(descriptor)
            let length = min(left, Int(clamping: segment.count))
            guard length > 0, let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(segment.address))
            else { return nil }
            // SAFETY: the segment is client memory that the transaction owns while it runs, and the ring's end is this transfer's.
            let done =
                toDevice
                ? unsafe ring.write(address, count: length)
                : unsafe ring.read(into: address, count: length)
            guard done == length else { return nil }
            moved &+= UInt64(length)
            _ = cursor?.advance(by: UInt64(length))
            left -= length
            total += length
        }
        return total
    }

    /// The memory at the present position, up to the end of its segment.
    private func place(_ descriptor: Descriptor) -> Segment {
        if isCyclic {
            let offset = moved % count
            return Segment(address: (toDevice ? descriptor.source : descriptor.destination) &+ offset, count: count - offset)
        }
        return cursor?.rest ?? Segment(address: 0, count: 0)
    }

    /// Waits for the peripheral, at most `nanoseconds`.
    func sleep(nanoseconds: Int64, unless stop: () -> Bool) {
        ring.sleep(nanoseconds: nanoseconds) { ready > 0 || stop() }
    }
}
