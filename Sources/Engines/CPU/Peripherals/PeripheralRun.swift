// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// One transfer between memory and a peripheral, or round a ring, as far as it has come.
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
    /// Bytes moved since the start.
    private(set) var moved: UInt64 = 0

    /// Nil where the transfer is not a whole number of the peripheral's items.
    init?(_ descriptor: Descriptor, _ peripheral: FIFOPeripheral, _ configuration: EngineConfiguration) {
        self.peripheral = peripheral
        isCyclic = descriptor.kind == .cyclic
        toDevice = isCyclic ? descriptor.source != 0 : descriptor.sourceCount > 0
        count = descriptor.count
        period = isCyclic ? descriptor.value : 0
        let items = configuration.burst == 0 ? 1 : Int(configuration.burst)
        let (bytes, overflow) = items.multipliedReportingOverflow(by: peripheral.width)
        burst = overflow ? peripheral.depth : min(bytes, peripheral.depth)
        guard count > 0, count % UInt64(peripheral.width) == 0, !isCyclic || period % UInt64(peripheral.width) == 0 else {
            return nil
        }
        // Past segments of no bytes.
        if !isCyclic { advance(by: 0, descriptor) }
    }

    /// What has not been moved: of the list, or of this pass over the ring (rule 21).
    var residue: UInt64 { isCyclic ? count - moved % count : count - moved }
    var isOver: Bool { !isCyclic && moved == count }
    /// Periods since the start.
    var periods: UInt64 { period == 0 ? 0 : moved / period }

    /// Bytes that can be moved now: whole bursts while there are that many to go, whole items at the end.
    var ready: Int {
        let available = toDevice ? peripheral.transmitting.room : peripheral.receiving.count
        let left = isCyclic ? .max : Int(clamping: count - moved)
        let length = min(available, left)
        return length >= burst ? length / burst * burst : left < burst ? length / peripheral.width * peripheral.width : 0
    }

    /// Moves up to `limit` bytes, as far as the peripheral is ready. Returns how many, nil where an address is none.
    mutating func step(_ descriptor: Descriptor, limit: Int) -> Int? {
        var left = min(ready, limit / peripheral.width * peripheral.width)
        var total = 0
        while left > 0 {
            let segment = place(descriptor)
            let length = min(left, Int(clamping: segment.count))
            guard length > 0, let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(segment.address))
            else { return nil }
            // The segment is client memory that the transaction owns while it runs.
            let done =
                toDevice
                ? unsafe peripheral.transmitting.write(address, count: length)
                : unsafe peripheral.receiving.read(into: address, count: length)
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
        let ring = toDevice ? peripheral.transmitting : peripheral.receiving
        ring.sleep(nanoseconds: nanoseconds) { ready > 0 || stop() }
    }
}
