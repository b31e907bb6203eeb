// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMADeviceSide
internal import DMAEngineKit
internal import DMAThreads
internal import DMATypes
internal import DMAVFIOUserProtocol

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// How a model is served.
public struct VFIOUserServerConfiguration: Sendable {
    /// How long a client may take to propose a version, to send the rest of a message, to read what it is sent, and to answer a request for its memory.
    public var patience: Duration = .seconds(10)
    /// DMA mappings of a client at one time.
    public var mappings = 65_535
    /// Whether requests for the client's memory go over a socket of their own, where the client has that (`twin_socket`).
    public var usesTwinSocket = true

    /// Ten seconds of patience, 65,535 mappings, and a second socket.
    public init() {}
}

/// Why a model cannot be served.
public struct VFIOUserServerError: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable {
        /// Another process serves the path, or a file that is no socket is there.
        case pathInUse
        /// No socket can be made at the path.
        case badPath
        /// The kernel gives no socket or thread.
        case noResources
    }

    /// What went wrong.
    public let code: Code
    /// What could not be done, and why.
    public let detail: String
    /// What to do.
    public let cure: String
}

extension VFIOUserServerError: CustomStringConvertible {
    public var description: String { "\(detail). \(cure.prefix(1).uppercased() + cure.dropFirst()). [\(code.rawValue)]" }
}

/// Serves a model on a UNIX socket, by the vfio-user protocol, to QEMU or any other client.
///
/// One client at a time: another is refused with EBUSY. After any end of a client, which need not say goodbye, nothing of it is left, and the next one is
/// taken. The socket's file has mode 0600.
///
/// Left out, and refused as the protocol says: migration, dirty pages, descriptors for region accesses; no region can be mapped, since no model has
/// registers in memory.
///
/// Thread rules: everything may be called from any thread.
///
/// Source: QEMU, docs/interop/vfio-user.rst.
public final class VFIOUserServer: Sendable {
    /// Where it listens.
    public let path: String
    /// The device's side: what the model sees, and what was reported.
    public let function: DeviceFunction
    private let acceptor: Acceptor
    private let thread: NativeThread
    private let generation = cdma_fork_generation()

    /// Starts to listen. The model is this server's from here on.
    ///
    /// - Throws: every code of ``VFIOUserServerError``.
    public init(
        _ model: any DeviceModel, path: String, configuration: VFIOUserServerConfiguration = VFIOUserServerConfiguration()
    ) throws(VFIOUserServerError) {
        let made = UnixSocket.listen(path)
        guard made >= 0 else { throw Self.error(path, -made) }
        let function = DeviceFunction(model.description)
        model.attach(function)
        let acceptor = Acceptor(model, function, OwnedDescriptor(taking: made), configuration)
        do throws(DMAError) { thread = try NativeThread { acceptor.run() } } catch {
            UnixSocket.remove(path)
            throw VFIOUserServerError(
                code: .noResources, detail: "no thread to serve \(path): \(error.kernelText ?? "")",
                cure: "raise the limit of threads (ulimit -u)")
        }
        self.path = path
        self.function = function
        self.acceptor = acceptor
    }

    deinit { stop() }

    /// Ends the client's connection, and listens no more. Nothing runs any more when this returns.
    public func stop() {
        // In a child of fork(2) the server is the parent's.
        guard cdma_fork_generation() == generation, acceptor.stop() else { return }
        thread.join()
        UnixSocket.remove(path)
    }

    /// How many clients it has had.
    public var clients: UInt64 { acceptor.figures.clients }
    /// Whether it has one.
    public var hasClient: Bool { acceptor.figures.hasClient }
    /// Why the last connection has ended; nil where none has.
    public var lastEnd: String? { acceptor.figures.lastEnd }
    /// DMA mappings of the client.
    public var mappings: Int { acceptor.mappings }

    private static func error(_ path: String, _ number: Int32) -> VFIOUserServerError {
        let detail = "cannot listen at \(path): \(DMAError.sentence(number))"
        return switch number {
        case EADDRINUSE:
            VFIOUserServerError(
                code: .pathInUse, detail: detail, cure: "end the other server, choose another path, or remove the file")
        case EMFILE, ENFILE, ENOMEM, ENOBUFS:
            VFIOUserServerError(code: .noResources, detail: detail, cure: "raise the limit of open files (ulimit -n)")
        case ENAMETOOLONG:
            VFIOUserServerError(code: .badPath, detail: detail, cure: "choose a path of at most 107 bytes")
        default:
            VFIOUserServerError(
                code: .badPath, detail: detail, cure: "choose a path in a folder that exists and that you may write to")
        }
    }
}

/// Takes one client after another.
private final class Acceptor: Sendable {
    struct Figures {
        var clients: UInt64 = 0
        var hasClient = false
        var lastEnd: String?
    }
    private struct State {
        var session: Session?
        var isStopping = false
        var clients: UInt64 = 0
        var lastEnd: String?
    }

    /// How long a client waits for the end of the one before, before it is refused.
    private static let handover: Int64 = 2000

    private let model: any DeviceModel
    private let function: DeviceFunction
    private let socket: OwnedDescriptor
    private let limits: Session.Limits
    private let state = Locked(State())

    init(
        _ model: any DeviceModel, _ function: DeviceFunction, _ socket: OwnedDescriptor,
        _ configuration: VFIOUserServerConfiguration
    ) {
        self.model = model
        self.function = function
        self.socket = socket
        limits = Session.Limits(
            patience: configuration.patience, mappings: min(max(configuration.mappings, 0), 65_535),
            usesTwinSocket: configuration.usesTwinSocket)
    }

    var figures: Figures {
        state.withLock { state in
            let ended = state.session?.ended
            return Figures(
                clients: state.clients, hasClient: state.session != nil && ended == nil, lastEnd: ended ?? state.lastEnd)
        }
    }
    var mappings: Int { state.withLock { $0.session }?.memory?.count ?? 0 }

    /// Asks it to end; false where that was done already.
    func stop() -> Bool {
        let (isFirst, session) = state.withLock { state -> (Bool, Session?) in
            defer { state.isStopping = true }
            return (!state.isStopping, state.session)
        }
        guard isFirst else { return false }
        UnixSocket.end(socket)
        session?.end("the server is stopped")
        return true
    }

    func run() {
        while !state.withLock({ $0.isStopping }) {
            let made = UnixSocket.accept(socket)
            guard made >= 0 else {
                // Without descriptors or memory, one that waits is taken later.
                if made != -EINVAL { cdma_sleep_until(cdma_monotonic_nanoseconds() + 20_000_000) }
                continue
            }
            serve(OwnedDescriptor(taking: made))
        }
        let session = state.withLock { $0.session }
        session?.end("the server is stopped")
        _ = session?.waitEnd(until: .never)
    }

    private func serve(_ client: OwnedDescriptor) {
        // One that has just ended may still be cleaned up after.
        if let before = state.withLock({ $0.session }), !before.waitEnd(until: .after(milliseconds: Self.handover)) {
            return refuse(client)
        }
        let session = Session(model, function, client, limits) { [weak self] session in
            self?.state.withLock { state in
                state.session = nil
                state.lastEnd = session.ended
            }
        }
        let isStopping = state.withLock { state in
            state.session = session
            state.clients &+= 1
            return state.isStopping
        }
        // Where there is no thread for it, the client finds its connection ended.
        guard (try? session.start()) != nil else { return }
        if isStopping { session.end("the server is stopped") }
    }

    /// Tells a second client that there is one.
    private func refuse(_ client: OwnedDescriptor) {
        let connection = Connection(client, patience: .seconds(1))
        do throws(DMAError) { try connection.start() } catch { return connection.end("no thread") }
        if let message = connection.take(until: .after(milliseconds: 500)) {
            connection.refuse(message, Refusal.busy.number)
        }
        connection.end("the server has a client")
        connection.join()
    }
}
