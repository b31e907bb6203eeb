// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import DMAThreads
package import DMATypes

/// One end of a socket of the protocol, for either side.
///
/// A thread reads and does nothing else: replies go to the callers that wait for them, requests to a queue that another thread takes them from. So a
/// reply is found also while the handler of a request waits for one. The queue is bounded: a peer that sends more is not read until there is room.
///
/// The end of the connection, by either side or by what is not the protocol, ends every wait at once.
///
/// Thread rules: everything may be called from any thread. ``start()`` once, ``end(_:)`` before the last reference is dropped.
package final class Connection: Sendable {
    /// A message that has arrived.
    package struct Message: Sendable {
        package let header: MessageHeader
        package let payload: [UInt8]
        package let descriptors: [OwnedDescriptor]
    }

    /// A request that waits for its reply.
    package final class Pending: Sendable {
        fileprivate let identifier: UInt16
        fileprivate let command: UInt16
        fileprivate let line = InterruptLine()
        fileprivate let result = Locked<Result<Message, PeerError>?>(nil)

        fileprivate init(_ identifier: UInt16, _ command: UInt16) {
            self.identifier = identifier
            self.command = command
        }

        /// Whether this was the first end.
        @discardableResult
        fileprivate func end(_ outcome: Result<Message, PeerError>) -> Bool {
            let isFirst = result.withLock { result in
                guard result == nil else { return false }
                result = outcome
                return true
            }
            if isFirst { line.raise() }
            return isFirst
        }
    }

    private enum Entry {
        case waiting(Pending)
        /// No thread waits for it; errors are counted.
        case posted(UInt16)
        /// The caller has gone: the reply is dropped.
        case abandoned(UInt16)
    }

    private struct State {
        var outstanding: [UInt16: Entry] = [:]
        var next: UInt16 = 0
        var posted = 0
        var refusedPosts: UInt64 = 0
        /// Those before `first` were taken, and are nil.
        var requests: [Message?] = []
        var first = 0
        var bytes = 0
        var ended: String?
        var thread: NativeThread?
    }

    /// Requests, and bytes of them, that wait to be handled.
    static let mostRequests = 256
    static let mostBytes = 8 << 20
    /// Descriptors of one message that are accepted.
    static let mostDescriptors = 64
    /// Bytes of a message beside its data.
    private static let overhead = MessageHeader.count + 4096

    private let socket: OwnedDescriptor
    private let patience: Duration
    private let state = Locked(State())
    /// One message is sent at a time.
    private let sending = Locked(())
    private let arrived = InterruptLine()
    private let taken = InterruptLine()
    private let acknowledged = InterruptLine()
    private let onEnd = Locked<(@Sendable (String) -> Void)?>(nil)

    /// - Parameters:
    ///   - socket: a connected socket that does not wait.
    ///   - patience: how long the rest of a message may take, in either direction.
    package init(_ socket: OwnedDescriptor, patience: Duration) {
        self.socket = socket
        self.patience = patience
    }

    /// Starts to read.
    ///
    /// - Parameter onEnd: called once when the connection has ended, from any thread. It must not wait.
    /// - Throws: where the system has no thread.
    package func start(onEnd: (@Sendable (String) -> Void)? = nil) throws(DMAError) {
        self.onEnd.withLock { $0 = onEnd }
        let thread = try NativeThread { self.readAll() }
        state.withLock { $0.thread = thread }
    }

    /// Why it has ended; nil while it has not.
    package var ended: String? { state.withLock { $0.ended } }
    /// Replies with an error to requests that were posted.
    package var refusedPosts: UInt64 { state.withLock { $0.refusedPosts } }

    /// Ends the connection, and with it every wait.
    package func end(_ reason: String) {
        let waiters = state.withLock { state -> [Pending]? in
            guard state.ended == nil else { return nil }
            state.ended = reason
            defer {
                state.outstanding = [:]
                state.requests = []
                (state.first, state.bytes, state.posted) = (0, 0, 0)
            }
            return state.outstanding.values.compactMap { if case .waiting(let pending) = $0 { pending } else { nil } }
        }
        guard let waiters else { return }
        // It fails where the peer has ended the connection already.
        _ = cdma_socket_shutdown(socket.number)
        for waiter in waiters { waiter.end(.failure(PeerError(.ended, reason))) }
        for line in [arrived, taken, acknowledged] { line.raise() }
        let body = onEnd.withLock { body in
            defer { body = nil }
            return body
        }
        body?(reason)
    }

    /// Waits until the reading thread has ended, which it does after ``end(_:)``; not in that thread itself.
    package func join() {
        let thread = state.withLock { state in
            defer { state.thread = nil }
            return state.thread
        }
        if let thread, !thread.isCurrent { thread.join() }
    }

    // MARK: Requests

    /// Sends a request.
    package func begin(_ request: Request, descriptors: [Int32] = []) throws(PeerError) -> Pending {
        let command = request.command.rawValue
        let pending = try enter {
            Pending($0, command)
        } entry: {
            .waiting($0)
        }
        try send(
            MessageHeader(command, identifier: pending.identifier, payload: request.payload.count), request.payload, descriptors
        )
        return pending
    }

    /// Waits for the reply.
    ///
    /// - Throws: `noAnswer` after the deadline: the reply is dropped when it comes. `refused`, `ended`, `badAnswer`, `cancelled`.
    package func wait(for pending: Pending, until deadline: Deadline) throws(PeerError) -> Message {
        _ = pending.line.wait(after: 0, until: deadline)
        abandon(pending, PeerError(.noAnswer, "no reply to \(Self.name(pending.command)) in time"))
        guard let result = pending.result.withLock({ $0 }) else { throw PeerError(.ended, "the connection has ended") }
        let message = try result.get()
        guard !message.header.isError else {
            throw PeerError(
                .refused,
                "\(Self.name(pending.command)) is refused: \(DMAError.sentence(Int32(clamping: message.header.error)))",
                number: message.header.error)
        }
        return message
    }

    /// Gives a request up: its wait ends now, and its reply is dropped when it comes.
    package func cancel(_ pending: Pending) { abandon(pending, PeerError(.cancelled, "given up")) }

    private func abandon(_ pending: Pending, _ error: PeerError) {
        guard pending.end(.failure(error)) else { return }
        state.withLock { state in
            if case .waiting(let other) = state.outstanding[pending.identifier], other === pending {
                state.outstanding[pending.identifier] = .abandoned(pending.command)
            }
        }
    }

    /// A request and its reply.
    package func ask(_ request: Request, descriptors: [Int32] = [], until deadline: Deadline) throws(PeerError) -> Message {
        try wait(for: try begin(request, descriptors: descriptors), until: deadline)
    }

    /// Sends a request whose reply is not waited for: an error is counted. At most `most` are outstanding: this waits for room.
    package func post(_ request: Request, most: Int, until deadline: Deadline) throws(PeerError) {
        try awaitPosted(below: most, until: deadline)
        let command = request.command.rawValue
        let identifier = try enter {
            $0
        } entry: { _ in
            .posted(command)
        }
        try send(MessageHeader(command, identifier: identifier, payload: request.payload.count), request.payload, [])
    }

    /// Waits until every request that was posted is answered.
    package func flush(until deadline: Deadline) throws(PeerError) { try awaitPosted(below: 1, until: deadline) }

    /// Whether replies to posted requests are still to come.
    package var hasPosted: Bool { state.withLock { $0.posted > 0 } }

    private func awaitPosted(below most: Int, until deadline: Deadline) throws(PeerError) {
        while true {
            let seen = acknowledged.count
            let (posted, ended) = state.withLock { ($0.posted, $0.ended) }
            if let ended { throw PeerError(.ended, ended) }
            if posted < most { return }
            guard acknowledged.wait(after: seen, until: deadline) else {
                throw PeerError(.noAnswer, "no reply to \(posted) writes in time")
            }
        }
    }

    /// Gives a request an identifier that none of the outstanding has.
    private func enter<R: Sendable>(_ make: (UInt16) -> R, entry: (R) -> Entry) throws(PeerError) -> R {
        try state.withLock { (state) throws(PeerError) -> R in
            if let ended = state.ended { throw PeerError(.ended, ended) }
            guard state.outstanding.count < 1 << 15 else { throw PeerError(.noAnswer, "32,768 requests are not answered") }
            // Ends: fewer identifiers are in use than there are.
            repeat { state.next &+= 1 } while state.outstanding[state.next] != nil
            let made = make(state.next)
            let entry = entry(made)
            if case .posted = entry { state.posted += 1 }
            state.outstanding[state.next] = entry
            return made
        }
    }

    // MARK: Requests of the peer

    /// The next request of the peer; nil after the deadline, and where the connection has ended.
    package func take(until deadline: Deadline) -> Message? {
        while true {
            let seen = arrived.count
            let (message, isOver) = state.withLock { state -> (Message?, Bool) in
                guard state.first < state.requests.count, let message = state.requests[state.first] else {
                    return (nil, state.ended != nil)
                }
                state.requests[state.first] = nil
                state.first += 1
                state.bytes -= message.payload.count
                if state.first == state.requests.count { (state.requests, state.first) = ([], 0) }
                return (message, false)
            }
            if let message {
                taken.raise()
                return message
            }
            if isOver || !arrived.wait(after: seen, until: deadline) { return nil }
        }
    }

    /// Answers a request, unless it wants no reply.
    package func reply(to message: Message, _ payload: [UInt8] = [], descriptors: [Int32] = []) {
        guard !message.header.wantsNoReply else { return }
        let header = MessageHeader(
            message.header.command, identifier: message.header.identifier, payload: payload.count, isReply: true)
        // An error has ended the connection.
        try? send(header, payload, descriptors)
    }

    /// Refuses a request with an error number, unless it wants no reply.
    package func refuse(_ message: Message, _ error: UInt32) {
        guard !message.header.wantsNoReply else { return }
        let header = MessageHeader(
            message.header.command, identifier: message.header.identifier, payload: 0, isReply: true, error: error)
        // An error has ended the connection.
        try? send(header, [], [])
    }

    // MARK: Sending

    /// Sends a whole message. What cannot be sent in time ends the connection: half a message cannot be taken back.
    private func send(_ header: MessageHeader, _ payload: [UInt8], _ descriptors: [Int32]) throws(PeerError) {
        if let ended { throw PeerError(.ended, ended) }
        let bytes = header.bytes + payload
        let failure = sending.withLock { _ -> String? in
            let limit = Deadline.after(patience)
            var sent = 0
            // Ends: each turn sends a byte at least, or waits until the limit.
            while sent < bytes.count {
                // SAFETY: the C function reads the bytes of the array from `sent` on, and all descriptors of the other.
                let count = unsafe bytes.withUnsafeBytes { bytes -> Int64 in
                    guard let base = bytes.baseAddress else { return 0 }
                    return unsafe cdma_socket_send_with(
                        socket.number, base + sent, bytes.count - sent, descriptors,
                        sent == 0 ? Int32(clamping: descriptors.count) : 0)
                }
                if count > 0 {
                    sent += Int(count)
                } else if count == -Int64(Self.again) {
                    let now = Deadline.now
                    guard now < limit else { return "the peer does not read" }
                    guard ended == nil else { return "the connection has ended" }
                    let slice = Int64(clamping: min(now.nanoseconds(until: limit), 100_000_000))
                    _ = cdma_socket_wait(socket.number, true, slice)
                    // Where there is something to read, the wait returns at once: the reading thread takes it.
                    cdma_sleep_until(now.nanoseconds + min(slice, 50_000))
                } else {
                    return "sending fails: \(DMAError.sentence(Int32(clamping: -count)))"
                }
            }
            return nil
        }
        if let failure {
            end(failure)
            throw PeerError(.ended, ended ?? failure)
        }
    }

    // MARK: The reading thread

    private static let again: Int32 = 11

    private func readAll() {
        var room = [Int32](repeating: -1, count: Int(CDMA_MOST_DESCRIPTORS))
        do throws(PeerError) {
            while true { try dispatch(try receive(&room)) }
        } catch { end(error.detail) }
    }

    private func receive(_ room: inout [Int32]) throws(PeerError) -> Message {
        var descriptors: [OwnedDescriptor] = []
        let bytes = try fill(MessageHeader.count, &descriptors, &room, hasBegun: false)
        let header: MessageHeader
        do throws(WireError) { header = try MessageHeader(bytes, limit: Self.overhead + 1 << 20) } catch {
            throw PeerError(.badAnswer, "the peer sends what is no message of the protocol")
        }
        let payload = try fill(header.payloadCount, &descriptors, &room, hasBegun: true)
        return Message(header: header, payload: payload, descriptors: descriptors)
    }

    /// Receives exactly so many bytes. Descriptors come with any of them.
    private func fill(
        _ count: Int, _ descriptors: inout [OwnedDescriptor], _ room: inout [Int32], hasBegun: Bool
    ) throws(PeerError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        var limit = hasBegun ? Deadline.after(patience) : .never
        // Ends: each turn receives a byte at least, waits until the limit, or finds the end of the connection.
        while filled < count {
            var number: Int32 = 0
            // SAFETY: the C function writes at most the rest of the array, and at most as many descriptors as the other has room for.
            let received = unsafe bytes.withUnsafeMutableBytes { bytes -> Int64 in
                guard let base = bytes.baseAddress else { return 0 }
                return unsafe cdma_socket_receive_with(socket.number, base + filled, bytes.count - filled, &room, &number)
            }
            for descriptor in room.prefix(Int(number)) { descriptors.append(OwnedDescriptor(taking: descriptor)) }
            guard descriptors.count <= Self.mostDescriptors else {
                throw PeerError(.badAnswer, "the peer sends more than \(Self.mostDescriptors) descriptors at once")
            }
            if received > 0 {
                filled += Int(received)
                if limit == .never { limit = .after(patience) }
            } else if received == -Int64(Self.again) {
                let now = Deadline.now
                guard now < limit else { throw PeerError(.badAnswer, "the rest of a message does not come") }
                if let ended { throw PeerError(.ended, ended) }
                _ = cdma_socket_wait(
                    socket.number, false, Int64(clamping: min(now.nanoseconds(until: limit), 10_000_000_000)))
            } else if received == 0 {
                throw PeerError(.ended, "the peer has ended the connection")
            } else {
                throw PeerError(.ended, "receiving fails: \(DMAError.sentence(Int32(clamping: -received)))")
            }
        }
        return bytes
    }

    private func dispatch(_ message: Message) throws(PeerError) {
        guard message.header.isReply else { return try queue(message) }
        let identifier = message.header.identifier
        let command = message.header.command
        let (entry, isPosted) = state.withLock { state -> (Entry?, Bool) in
            let entry = state.outstanding.removeValue(forKey: identifier)
            guard case .posted = entry else { return (entry, false) }
            state.posted -= 1
            if message.header.isError { state.refusedPosts &+= 1 }
            return (entry, true)
        }
        let expected: UInt16
        switch entry {
        case .none: throw PeerError(.badAnswer, "the peer answers what was not asked")
        case .posted(let asked), .abandoned(let asked): expected = asked
        case .waiting(let pending):
            expected = pending.command
            guard expected == command else {
                pending.end(.failure(PeerError(.badAnswer, "the reply to \(Self.name(expected)) is to command \(command)")))
                break
            }
            pending.end(.success(message))
        }
        if isPosted { acknowledged.raise() }
        guard expected == command else {
            throw PeerError(.badAnswer, "the peer answers \(Self.name(expected)) with a reply to command \(command)")
        }
    }

    private func queue(_ message: Message) throws(PeerError) {
        while true {
            let seen = taken.count
            let (isIn, ended) = state.withLock { state -> (Bool, String?) in
                if let ended = state.ended { return (false, ended) }
                let count = state.requests.count - state.first
                guard count == 0 || count < Self.mostRequests && state.bytes < Self.mostBytes else { return (false, nil) }
                // What was taken is freed before the array grows over it.
                if state.first >= Self.mostRequests {
                    state.requests.removeFirst(state.first)
                    state.first = 0
                }
                state.requests.append(message)
                state.bytes += message.payload.count
                return (true, nil)
            }
            if isIn { return arrived.raise() }
            if let ended { throw PeerError(.ended, ended) }
            _ = taken.wait(after: seen, until: .never)
        }
    }

    private static func name(_ command: UInt16) -> String {
        MessageCommand(rawValue: command).map { "\($0)" } ?? "command \(command)"
    }
}
