// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMADriverKit
internal import DMAEngineKit
internal import DMAThreads
internal import DMATypes
internal import DMAVFIOUserProtocol

/// One client, from its connection to its end.
///
/// Three threads: one reads (`Connection`), one handles the requests in their order, one lets the model's time pass. Only the last waits for answers of the
/// client, so that the client may access registers meanwhile.
///
/// The specification would keep the device's state for a client that comes back. Here nothing of a client is left: no mapping, no event, and no transfer
/// that the next client's memory could be written by; the device is reset.
final class Session: Sendable {
    struct Limits: Sendable {
        let patience: Duration
        let mappings: Int
        let usesTwinSocket: Bool
    }

    let model: any DeviceModel
    let function: DeviceFunction
    let limits: Limits
    let connection: Connection
    let stepper: Stepper
    let interrupts: ClientInterrupts

    private struct Parts {
        var memory: ClientMemory?
        /// Requests of the server go over it; nil where they share the first socket.
        var twin: Connection?
    }
    private let parts = Locked(Parts())
    private let over = InterruptLine()
    private let onOver: @Sendable (Session) -> Void

    /// - Parameter onOver: called once, when nothing is left of the client but its socket, which is closed with this object.
    init(
        _ model: any DeviceModel, _ function: DeviceFunction, _ socket: OwnedDescriptor, _ limits: Limits,
        onOver: @escaping @Sendable (Session) -> Void
    ) {
        self.model = model
        self.function = function
        self.limits = limits
        connection = Connection(socket, patience: limits.patience)
        stepper = Stepper(model)
        interrupts = ClientInterrupts(function)
        self.onOver = onOver
    }

    /// Starts the threads.
    ///
    /// - Throws: where the system has none; nothing runs then.
    func start() throws(DMAError) {
        do throws(DMAError) {
            try connection.start { [weak self] _ in self?.twin?.end("the client's connection has ended") }
            // It goes on by itself, and ends with the connection.
            _ = try NativeThread { self.run() }
        } catch {
            connection.end("no thread")
            connection.join()
            finish()
            throw error
        }
    }

    /// Asks it to end; ``waitEnd(until:)`` waits for that.
    func end(_ reason: String) { connection.end(reason) }
    /// Why it has ended; nil while the client is there.
    var ended: String? { connection.ended }
    /// Whether nothing is left of the client.
    func waitEnd(until deadline: Deadline) -> Bool { over.wait(after: 0, until: deadline) }

    var memory: ClientMemory? { parts.withLock { $0.memory } }
    private var twin: Connection? { parts.withLock { $0.twin } }

    // MARK: The handling thread

    private func run() {
        do throws(DMAError) {
            if negotiate() {
                function.setSink { [weak self] vector in
                    guard let self else { return }
                    interrupts.fire(vector, isMessage: function.usesMessages)
                }
                powerUp()
                try stepper.start()
                while let message = connection.take(until: .never) { handle(message) }
            }
        } catch { connection.end("no thread for the model: \(error.message)") }
        cleanUp()
    }

    /// The first message, and its answer.
    private func negotiate() -> Bool {
        guard let message = connection.take(until: .after(limits.patience)) else {
            connection.end("the client does not say which version it speaks")
            return false
        }
        let proposed: VersionMessage
        do throws(WireError) {
            let request = try Request(
                command: message.header.command, payload: message.payload, descriptors: message.descriptors.count,
                transferSize: 0)
            guard case .version(let version) = request, version.major == VersionMessage.highest.major else {
                throw .invalid
            }
            proposed = version
        } catch {
            connection.refuse(message, error.rawValue)
            connection.end("the client does not propose a version that is known")
            return false
        }
        var capabilities = PeerCapabilities.own
        capabilities.mappings = limits.mappings
        capabilities.writesMultiple = proposed.capabilities.writesMultiple
        capabilities.twinSocket = false
        var passed: [OwnedDescriptor] = []
        var requests = connection
        if limits.usesTwinSocket, proposed.capabilities.twinSocket, let (own, other) = UnixSocket.pair() {
            let made = Connection(own, patience: limits.patience)
            do throws(DMAError) {
                try made.start { [weak self] reason in self?.connection.end(reason) }
                parts.withLock { $0.twin = made }
                // It may have ended meanwhile, without knowing of this one.
                if let ended { made.end(ended) }
                requests = made
                passed = [other]
                capabilities.twinSocket = true
                capabilities.twinSocketIndex = 0
            } catch {
                // Without a thread for it, requests share the first socket.
                made.end("no thread")
            }
        }
        let memory = ClientMemory(
            function.memory, requests, transferSize: proposed.capabilities.transferSize, maximum: limits.mappings,
            patience: limits.patience)
        parts.withLock { $0.memory = memory }
        function.setRemote(memory)
        let answer = VersionMessage(minor: min(proposed.minor, VersionMessage.highest.minor), capabilities)
        connection.reply(to: message, answer.payload, descriptors: passed.map(\.number))
        return connection.ended == nil
    }

    /// The state that a device has when its driver finds it: after power-up, with its registers decoded, as firmware leaves it.
    func powerUp() {
        memory?.pause()
        stepper.exclusively {
            model.reset()
            function.resetConfiguration()
            // Memory space: PCI Local Bus Specification 3.0, 6.2.2. SPDK's initiator expects it to be on, as VFIO leaves it.
            _ = function.writeConfiguration(2, 4, 2)
        }
        memory?.resume()
    }

    private func cleanUp() {
        connection.end("the session is over")
        twin?.end("the session is over")
        memory?.pause()
        function.setSink(nil)
        // A step that waits for the client ends: its requests were given up.
        stepper.stop()
        model.reset()
        function.resetConfiguration()
        function.setRemote(nil)
        // No access is under way any more, so that the first attempt succeeds; munmap(2) alone may fail, for want of memory.
        for _ in 0..<100 {
            do throws(DMAError) {
                try function.memory.removeAll(until: .after(milliseconds: 100))
                break
            } catch { continue }
        }
        interrupts.clear()
        connection.join()
        twin?.join()
        finish()
    }

    private func finish() {
        parts.withLock { $0 = Parts() }
        onOver(self)
        over.raise()
    }
}
