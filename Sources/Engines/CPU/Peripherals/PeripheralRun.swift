// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// One transfer between memory and a peripheral, or round a ring, as far as it has come.
///
/// It waits for the FIFO's end that it moves bytes through, and owns it then; whoever runs it calls ``end()`` when it is over or dropped.
struct PeripheralRun {
    let peripheral: FIFOPeripheral
    /// Bytes moved each time the request line is up.
    let burst: Int
    let toDevice: Bool
    let isCyclic: Bool
    /// Bytes of the list, or of the ring.
    let count: UInt64
    /// Bytes of a period; 0 where the run is not cyclic.
    let period: UInt64
    private var cursor = ScatterWalk.Cursor()
    private let fifoEnd: FIFOEnd
    private let ticket: UInt64
    private var ownsEnd = false
    /// Bytes moved since the start.
    private(set) var moved: UInt64 = 0

    /// Nil where the transfer is not a whole number of the peripheral's items.
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
        fifoEnd = peripheral.end(toDevice: toDevice)
        ticket = fifoEnd.enter()
        // Past segments of no bytes.
        if !isCyclic { advance(by: 0, descriptor) }
    }

    /// Whether a transfer's bytes, or a ring's, go from memory to the peripheral.
    static func isToDevice(_ descriptor: Descriptor) -> Bool {
        descriptor.kind == .cyclic ? descriptor.source != 0 : descriptor.sourceCount > 0
    }

    /// What has not been moved: of the list, or of this pass over the ring (rule 21).
    var residue: UInt64 { isCyclic ? count - moved % count : count - moved }
    var isOver: Bool { !isCyclic && moved == count }
    /// Periods since the start.
    var periods: UInt64 { period == 0 ? 0 : moved / period }

    /// Lets the next transfer have the FIFO's end.
    func end() { if fifoEnd.leave(ticket) { ring.signal() } }

    private var ring: ByteRing { toDevice ? peripheral.transmitting : peripheral.receiving }

    /// Bytes that can be moved now: whole bursts while there are that many to go, whole items at the end. None for a transfer whose turn
    /// has not come.
    private var ready: Int {
        guard ownsEnd || fifoEnd.isOwned(by: ticket) else { return 0 }
        let available = toDevice ? ring.room : ring.count
        let left = isCyclic ? .max : Int(clamping: count - moved)
        let length = min(available, left)
        return length >= burst ? length / burst * burst : left < burst ? length / peripheral.width * peripheral.width : 0
    }

    /// Moves up to `limit` bytes, as far as the peripheral is ready. Returns how many, nil where an address is none.
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
            if !isCyclic { advance(by: length, descriptor) }
            left -= length
            total += length
        }
        return total
    }

    /// What lies at the present place, up to the end of its segment.
    private func place(_ descriptor: Descriptor) -> Segment {
        if isCyclic {
            let offset = moved % count
            return Segment(address: (toDevice ? descriptor.source : descriptor.destination) &+ offset, count: count - offset)
        }
        let segment =
            toDevice ? descriptor.sourceSegment(cursor.segment) : descriptor.destinationSegment(cursor.segment)
        let offset = UInt64(cursor.offset)
        guard segment.count > offset else { return Segment(address: 0, count: 0) }
        return Segment(address: segment.address &+ offset, count: segment.count - offset)
    }

    private mutating func advance(by length: Int, _ descriptor: Descriptor) {
        let number = Int(toDevice ? descriptor.sourceCount : descriptor.destinationCount)
        let list = toDevice
        // At the end of the list the cursor stays behind it, and nothing is left to move.
        _ = cursor.advance(by: length, number: number) {
            list ? descriptor.sourceSegment($0) : descriptor.destinationSegment($0)
        }
    }

    /// Waits for the peripheral, at most `nanoseconds`.
    func sleep(nanoseconds: Int64, unless stop: () -> Bool) {
        ring.sleep(nanoseconds: nanoseconds) { ready > 0 || stop() }
    }
}
