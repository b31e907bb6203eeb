// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMADriverKit
internal import DMATypes
internal import DMAVFIOUserProtocol

/// What a client has mapped for the device: with a file, as a region of the function's `ForeignMemory`; without, as a range that is reached by messages.
///
/// **Rights.** A file is mapped with the rights that the client gives and no others, and every access is checked against them, also by message. A file
/// whose pages may be removed is read and written by the kernel's copies (see `ForeignMemory`), so that a client that truncates it ends its own
/// transfer and not this process. A file that cannot be mapped at its offset, as huge pages at a part of one, is not mapped: the range is reached by
/// messages, which a client has to answer for every range.
///
/// **Ends.** When a range is unmapped, requests under way for it are given up before the reply is sent; a reply of the client that comes later is
/// dropped.
///
/// Thread rules: maps and unmaps by one thread; everything else by any.
final class ClientMemory: RemoteMemory {
    private struct Range {
        let start: UInt64
        let last: UInt64
        let access: DeviceAccess
        /// Whether it is a region of the foreign memory.
        let isShared: Bool
    }
    private struct Flight {
        let pending: Connection.Pending
        let start: UInt64
        let last: UInt64
    }
    private struct State {
        /// By their addresses.
        var ranges: [Range] = []
        var flights: [UInt64: Flight] = [:]
        var next: UInt64 = 0
        /// No message is sent, while the device must not reach memory.
        var isPaused = false

        /// The place of the first range that ends at or behind an address.
        func place(_ address: UInt64) -> Int {
            var (low, high) = (0, ranges.count)
            while low < high {
                let middle = (low + high) / 2
                if ranges[middle].last < address { low = middle + 1 } else { high = middle }
            }
            return low
        }

        func range(at address: UInt64) -> Range? {
            let place = place(address)
            return place < ranges.count && ranges[place].start <= address ? ranges[place] : nil
        }
    }

    private let memory: ForeignMemory
    private let connection: Connection
    private let transferSize: Int
    private let maximum: Int
    private let patience: Duration
    private let state = Locked(State())

    /// - Parameters:
    ///   - memory: of the function.
    ///   - connection: on which the client answers requests.
    ///   - transferSize: the most data of one message.
    ///   - maximum: mappings at one time.
    ///   - patience: how long the client may take to answer.
    init(_ memory: ForeignMemory, _ connection: Connection, transferSize: Int, maximum: Int, patience: Duration) {
        self.memory = memory
        self.connection = connection
        self.transferSize = transferSize
        self.maximum = maximum
        self.patience = patience
    }

    /// Mappings.
    var count: Int { state.withLock { $0.ranges.count } }

    // MARK: The client's requests

    func map(_ message: DMAMapMessage, _ file: OwnedDescriptor?) throws(Refusal) {
        let last = message.address + (message.count - 1)
        var access: DeviceAccess = []
        if message.isReadable { access.insert(.read) }
        if message.isWritable { access.insert(.write) }
        let place = try state.withLock { (state) throws(Refusal) -> Int in
            let place = state.place(message.address)
            if place < state.ranges.count, state.ranges[place].start <= last { throw .exists }
            guard state.ranges.count < maximum else { throw .noRoom }
            return place
        }
        var isShared = false
        if let file {
            do throws(DMAError) {
                try memory.insert(
                    IOVA(message.address), count: message.count, access: access, file: file.number, offset: message.offset,
                    unstable: .copied)
                isShared = true
            } catch { guard error.code == .misaligned else { throw Refusal(error) } }
        } else if message.offset != 0 {
            // "or zero if the region is not mappable".
            throw .invalid
        }
        state.withLock { state in
            state.ranges.insert(
                Range(start: message.address, last: last, access: access, isShared: isShared), at: place)
        }
    }

    func unmap(_ message: DMAUnmapMessage, until deadline: Deadline) throws(Refusal) {
        if message.isAll { return try removeAll(until: deadline) }
        let found = try state.withLock { (state) throws(Refusal) -> Range in
            let place = state.place(message.address)
            guard place < state.ranges.count, state.ranges[place].start == message.address else { throw .notThere }
            guard state.ranges[place].last - message.address == message.count - 1 else { throw .invalid }
            let range = state.ranges.remove(at: place)
            cancel(&state) { $0.start <= range.last && range.start <= $0.last }
            return range
        }
        guard found.isShared else { return }
        do throws(DMAError) { try memory.remove(IOVA(found.start), count: message.count, until: deadline) } catch {
            // It is still mapped, and no access finds it any more: the client may ask again.
            state.withLock { state in state.ranges.insert(found, at: state.place(found.start)) }
            throw Refusal(error)
        }
    }

    func removeAll(until deadline: Deadline) throws(Refusal) {
        state.withLock { state in
            state.ranges = []
            cancel(&state) { _ in true }
        }
        do throws(DMAError) { try memory.removeAll(until: deadline) } catch { throw Refusal(error) }
    }

    /// Gives up what is under way by messages, and refuses more until ``resume()``.
    func pause() {
        state.withLock { state in
            state.isPaused = true
            cancel(&state) { _ in true }
        }
    }
    func resume() { state.withLock { $0.isPaused = false } }

    private func cancel(_ state: inout State, _ isMeant: (Flight) -> Bool) {
        for (number, flight) in state.flights where isMeant(flight) {
            connection.cancel(flight.pending)
            state.flights[number] = nil
        }
    }

    // MARK: The device's accesses

    func read(_ address: IOVA, into bytes: inout MutableRawSpan) throws(DMAError) {
        let count = bytes.byteCount
        var filled: [UInt8] = []
        filled.reserveCapacity(count)
        for piece in try pieces(address.rawValue, count, .read) {
            if piece.isShared {
                var part = [UInt8](repeating: 0, count: piece.count)
                var span = part.mutableSpan
                // SAFETY: every pattern of bits is a byte.
                var raw = unsafe span.mutableBytes
                try memory.read(IOVA(piece.address), into: &raw)
                filled += part
            } else {
                let request = DMAAccessMessage(address: piece.address, count: piece.count)
                let reply = try ask(.dmaRead(request), piece)
                do throws(WireError) {
                    filled += try DMAAccessMessage(reply: reply.payload, to: request, hasData: true).data
                } catch { throw Self.badAnswer(connection) }
            }
        }
        // SAFETY: as many bytes were read as the span has.
        unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyBytes(from: filled.prefix($0.count)) }
    }

    func write(_ bytes: RawSpan, at address: IOVA) throws(DMAError) {
        // SAFETY: the bytes are copied.
        let data = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
        var written = 0
        for piece in try pieces(address.rawValue, data.count, .write) {
            let part = Array(data[written..<written + piece.count])
            if piece.isShared {
                // SAFETY: every byte of an array of bytes is initialized; the span ends with the call.
                try unsafe memory.write(part.span.bytes, at: IOVA(piece.address))
            } else {
                let request = DMAAccessMessage(address: piece.address, count: piece.count, data: part)
                let reply = try ask(.dmaWrite(request), piece)
                do throws(WireError) { _ = try DMAAccessMessage(reply: reply.payload, to: request, hasData: false) } catch {
                    throw Self.badAnswer(connection)
                }
            }
            written += piece.count
        }
    }

    private struct Piece {
        let address: UInt64
        let count: Int
        let isShared: Bool
    }

    /// The parts of a range, each of one mapping and not longer than a message, after all of it was checked.
    private func pieces(_ address: UInt64, _ count: Int, _ right: DeviceAccess) throws(DMAError) -> [Piece] {
        guard count > 0 else { return [] }
        let (end, overflow) = address.addingReportingOverflow(UInt64(count - 1))
        guard !overflow else { throw DMAError(.sizeOverflow, asked: UInt64(count), limit: .max - address) }
        return try state.withLock { (state) throws(DMAError) -> [Piece] in
            var pieces: [Piece] = []
            var next = address
            // Ends: each turn goes on behind a byte at least, up to `end`.
            while true {
                guard let range = state.range(at: next) else { throw DMAError(.unmappedAddress, asked: next) }
                guard range.access.contains(right) else { throw DMAError(.noPermission) }
                let left = min(range.last, end) - next
                let part = min(left, UInt64(transferSize - 1))
                pieces.append(Piece(address: next, count: Int(part) + 1, isShared: range.isShared))
                guard next + part < end else { return pieces }
                next += part + 1
            }
        }
    }

    private func ask(_ request: Request, _ piece: Piece) throws(DMAError) -> Connection.Message {
        let last = piece.address + UInt64(piece.count - 1)
        do throws(PeerError) {
            // Sent under the lock: behind an unmap, nothing is sent for what it has removed.
            let sent = try state.withLock { (state) throws(PeerError) -> (UInt64, Connection.Pending)? in
                guard !state.isPaused, let range = state.range(at: piece.address), range.last >= last else { return nil }
                let pending = try connection.begin(request)
                state.next &+= 1
                state.flights[state.next] = Flight(pending: pending, start: piece.address, last: last)
                return (state.next, pending)
            }
            guard let (number, pending) = sent else { throw PeerError(.cancelled, "the range is not mapped any more") }
            defer { _ = state.withLock { $0.flights.removeValue(forKey: number) } }
            return try connection.wait(for: pending, until: .after(patience))
        } catch {
            // ETIMEDOUT; EIO where the client has refused without a reason, has gone, or the request was given up.
            let number: Int32 = error.code == .noAnswer ? 110 : error.number == 0 ? 5 : Int32(clamping: error.number)
            throw DMAError(.kernelRefused, errno: number)
        }
    }

    private static func badAnswer(_ connection: Connection) -> DMAError {
        connection.end("the client answers a request for its memory with other bytes than were asked for")
        return DMAError(.kernelRefused, errno: 5)
    }
}
