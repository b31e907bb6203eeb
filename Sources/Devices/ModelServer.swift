// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAVFIOUserServer

/// A model of this package on a UNIX socket, for vfio-user clients.
///
/// Thread rules: called from any thread.
public final class ModelServer: Sendable {
    /// What it has seen so far.
    public struct State: Sendable, Equatable {
        /// Clients that have connected.
        public var clients: UInt64 = 0
        /// Whether one is connected.
        public var hasClient = false
        /// Why the last one has ended; nil where none has.
        public var lastEnd: String?
        /// Interrupts that the model has raised.
        public var interrupts: UInt64 = 0
        /// How often drivers did what they must not.
        public var violations: UInt64 = 0
        /// The latest of these, oldest first.
        public var latestViolations: [String] = []

        /// Before any client.
        public init() {}
    }

    private let server: VFIOUserServer

    /// Starts to serve a model.
    ///
    /// - Parameters:
    ///   - name: one of ``DeviceModels/names``.
    ///   - path: of the socket, which is made.
    /// - Throws: ``DeviceFailure``.
    public init(_ name: String, at path: String) throws(DeviceFailure) {
        guard let model = DeviceModels.named(name) else { throw DeviceModels.unknown(name, address: name) }
        do throws(VFIOUserServerError) { server = try VFIOUserServer(model, path: path) } catch {
            throw DeviceFailure(path, error.detail, cure: error.cure.asSentence)
        }
    }

    /// What it has seen so far.
    public var state: State {
        var state = State()
        (state.clients, state.hasClient, state.lastEnd) = (server.clients, server.hasClient, server.lastEnd)
        (state.interrupts, state.violations) = (server.function.interrupts, server.function.violationCount)
        state.latestViolations = server.function.violations
        return state
    }

    /// Ends the client's connection and the server.
    public func stop() { server.stop() }
}
