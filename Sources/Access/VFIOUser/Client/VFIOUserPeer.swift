// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMADriverKit
internal import DMAThreads
internal import DMATypes
internal import DMAVFIOUserProtocol

/// The connection to a server, what was negotiated, and the thread that answers its requests for memory.
final class VFIOUserPeer: Sendable {
    let connection: Connection
    /// On which the server's requests come: the same, or the second one.
    private let requests: Connection
    let capabilities: PeerCapabilities
    let configuration: VFIOUserConfiguration
    let name: String
    /// What is mapped for the device, in this process.
    let memory: ForeignMemory
    /// Of the server's process; nil where the kernel has none to give.
    private let process: OwnedDescriptor?
    private let answering: NativeThread
    private let hasEnded = Locked(false)
    private let hasWaited = Locked(false)
    private let generation = cdma_fork_generation()

    /// Connects, and agrees on a version.
    init(_ path: String, _ configuration: VFIOUserConfiguration, name: String) throws(AccessError) {
        self.name = name
        self.configuration = configuration
        let made = UnixSocket.connect(path)
        guard made >= 0 else { throw Self.error(path, -made, name) }
        let socket = OwnedDescriptor(taking: made)
        let peer = cdma_socket_peer(made)
        process = peer >= 0 ? OwnedDescriptor(taking: peer) : nil
        let connection = Connection(socket, patience: configuration.patience)
        do throws(DMAError) { try connection.start() } catch {
            connection.end("no thread")
            throw AccessError(error, device: name, "starting a thread for the connection")
        }
        var requests = connection
        let memory = ForeignMemory()
        do throws(AccessError) {
            let answer: VersionMessage
            (answer, requests) = try Self.negotiate(connection, configuration, name)
            capabilities = answer.capabilities
            let (own, answers) = (memory, requests)
            do throws(DMAError) { answering = try NativeThread { Self.answerAll(answers, own, connection) } } catch {
                throw AccessError(error, device: name, "starting a thread for requests")
            }
        } catch {
            for one in [connection, requests] {
                one.end("the connection was not taken up")
                one.join()
            }
            throw error
        }
        self.connection = connection
        self.requests = requests
        self.memory = memory
    }

    deinit { end("the device was closed") }

    /// Ends the connection. No request of the server is answered any more when this returns.
    func end(_ reason: String) {
        guard cdma_fork_generation() == generation else { return }
        connection.end(reason)
        requests.end(reason)
        answering.join()
        connection.join()
        requests.join()
    }

    // MARK: Its end

    /// Why it answers no more; nil while it does.
    var goneReason: String? { connection.ended }

    /// Whether the process that serves has ended. A connection that has ended proves nothing: the process may go on writing to memory whose file it has.
    var isDead: Bool {
        hasEnded.withLock { hasEnded in
            if !hasEnded, let process, cdma_process_has_ended(process.number) == 1 { hasEnded = true }
            return hasEnded
        }
    }

    /// Gives a process whose connection has ended a moment to end as well: a process that is killed closes its files first. Once, 500 ms at most.
    func awaitDeath() {
        guard connection.ended != nil, let process else { return }
        let isFirst = hasWaited.withLock { hasWaited in
            defer { hasWaited = true }
            return !hasWaited
        }
        if isFirst { _ = cdma_socket_wait(process.number, false, 500_000_000) }
    }

    // MARK: Requests

    var limit: Deadline { .after(configuration.patience) }

    /// A request and its reply. A server that does not answer in time is gone from then on.
    func ask(_ request: Request, descriptors: [Int32] = []) throws(PeerError) -> Connection.Message {
        do throws(PeerError) { return try connection.ask(request, descriptors: descriptors, until: limit) } catch {
            if error.code == .noAnswer { connection.end("the server does not answer: \(error.detail)") }
            throw error
        }
    }

    /// A request whose reply is looked at later.
    func post(_ request: Request) {
        let most = min(max(configuration.posted, 1), 256)
        do throws(PeerError) { try connection.post(request, most: most, until: limit) } catch { lose(error) }
    }

    /// Waits for the replies to what was posted.
    func flush() {
        guard connection.hasPosted else { return }
        do throws(PeerError) { try connection.flush(until: limit) } catch { lose(error) }
    }

    /// As on a bus, what does not arrive is lost; the connection says why.
    private func lose(_ error: PeerError) {
        if error.code == .noAnswer { connection.end("the server does not answer: \(error.detail)") }
    }

    func error(_ error: PeerError, _ doing: String) -> AccessError {
        switch error.code {
        case .ended, .noAnswer, .cancelled:
            AccessError(
                .gone, device: name, "\(doing): \(error.detail)", cure: "see why the server has ended; open the device again")
        case .refused:
            AccessError(.refused, device: name, "\(doing): \(error.detail)", cure: "see what the server says")
        case .badAnswer:
            AccessError(
                .badConfiguration, device: name, "\(doing): \(error.detail)",
                cure: "use a server that speaks the vfio-user protocol, version 0.0 or 0.1")
        }
    }

    /// An answer that is none of the protocol's.
    func error(_ error: WireError, _ doing: String) -> AccessError {
        self.error(PeerError(.badAnswer, "the answer is none of the protocol's"), doing)
    }

    // MARK: Opening

    private static func error(_ path: String, _ number: Int32, _ name: String) -> AccessError {
        let detail = "cannot connect to \(path): \(DMAError.sentence(number))"
        return switch number {
        case 2, 20, 36, 111:  // ENOENT, ENOTDIR, ENAMETOOLONG, ECONNREFUSED
            AccessError(.absent, device: name, detail, cure: "start the server first, and name the path of its socket")
        case 11:  // EAGAIN: its list of connections is full.
            AccessError(.busy, device: name, detail, cure: "close the device where it is open")
        default:
            AccessError(
                .refused, device: name, detail,
                cure: "see the permissions of the socket, and the limit of open files (ulimit -n)")
        }
    }

    /// The first request, and which socket the server's requests come on.
    private static func negotiate(
        _ connection: Connection, _ configuration: VFIOUserConfiguration, _ name: String
    ) throws(AccessError) -> (VersionMessage, Connection) {
        func wrong(_ detail: String) -> AccessError {
            AccessError(
                .badConfiguration, device: name, detail,
                cure: "use a server that speaks the vfio-user protocol, version 0.0 or 0.1")
        }
        var own = PeerCapabilities.own
        own.twinSocket = configuration.usesTwinSocket
        let reply: Connection.Message
        do throws(PeerError) {
            reply = try connection.ask(.version(VersionMessage(own)), until: .after(configuration.patience))
        } catch {
            switch error.code {
            case .refused where error.number == 16:  // EBUSY
                throw AccessError(
                    .busy, device: name, "the server has another client", cure: "close the device where it is open")
            case .noAnswer:
                throw AccessError(
                    .notReady, device: name, "the server does not say which version it speaks",
                    cure: "see whether it serves another client, or is no vfio-user server")
            case .refused: throw wrong("the server refuses version 0.1: \(error.detail)")
            case .ended, .badAnswer, .cancelled: throw wrong("no version was agreed on: \(error.detail)")
            }
        }
        let answer: VersionMessage
        do throws(WireError) { answer = try VersionMessage(payload: reply.payload) } catch {
            throw wrong("the server's version is none of the protocol's")
        }
        guard answer.major == VersionMessage.highest.major, answer.minor <= VersionMessage.highest.minor else {
            throw wrong("the server speaks version \(answer.major).\(answer.minor)")
        }
        guard answer.capabilities.twinSocket else { return (answer, connection) }
        guard own.twinSocket, let index = answer.capabilities.twinSocketIndex, index < reply.descriptors.count else {
            throw wrong("the server announces a second socket and passes none")
        }
        let twin = Connection(reply.descriptors[index], patience: configuration.patience)
        do throws(DMAError) {
            try twin.start { [weak connection] reason in connection?.end("the second socket has ended: \(reason)") }
        } catch {
            twin.end("no thread")
            throw AccessError(error, device: name, "starting a thread for the second socket")
        }
        return (answer, twin)
    }

    // MARK: The server's requests

    private static func answerAll(_ requests: Connection, _ memory: ForeignMemory, _ connection: Connection) {
        while let message = requests.take(until: .never) {
            let request: Request
            do throws(WireError) {
                request = try Request(
                    command: message.header.command, payload: message.payload, descriptors: message.descriptors.count,
                    transferSize: PeerCapabilities.own.transferSize)
            } catch {
                requests.refuse(message, error.rawValue)
                continue
            }
            do throws(DMAError) {
                switch request {
                case .dmaRead(var access):
                    var bytes = [UInt8](repeating: 0, count: access.count)
                    var span = bytes.mutableSpan
                    // SAFETY: every pattern of bits is a byte.
                    var raw = unsafe span.mutableBytes
                    try memory.read(IOVA(access.address), into: &raw)
                    access.data = bytes
                    requests.reply(to: message, access.payload)
                case .dmaWrite(var access):
                    // SAFETY: every byte of an array of bytes is initialized; the span ends with the call.
                    try unsafe memory.write(access.data.span.bytes, at: IOVA(access.address))
                    access.data = []
                    requests.reply(to: message, access.payload)
                // Requests of clients.
                default: requests.refuse(message, WireError.unsupported.rawValue)
                }
            } catch {
                // EFAULT for what is not mapped, EACCES for what is, otherwise.
                requests.refuse(message, error.code == .noPermission ? 13 : 14)
            }
        }
        connection.end("no request of the server can come any more: \(requests.ended ?? "")")
    }
}
