// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMATestSupport
import DMATypes
import DMAVFIOUserProtocol
import Foundation

/// A server that answers what a test makes it answer, and everything else as the protocol says.
final class ScriptedServer: Sendable {
    enum Answer: Sendable {
        case payload([UInt8], [OwnedDescriptor] = [])
        case refusal(UInt32)
        /// The server ends the connection.
        case end
        /// Nothing, ever.
        case silence
        /// Nothing now: the test answers.
        case later
    }
    typealias Script = @Sendable (Request) -> Answer?

    let path: String
    private let scratch: Locked<Scratch?>
    private let listening: OwnedDescriptor
    private struct State {
        var connection: Connection?
        var requests: [Request] = []
        var messages: [Connection.Message] = []
        var space = [UInt8](repeating: 0, count: 256)
        var registers = [UInt8](repeating: 0, count: 1 << 16)
    }
    private let state = Locked(State())
    let capabilities: PeerCapabilities
    private let script: Script

    init(_ capabilities: PeerCapabilities = PeerCapabilities(), _ script: @escaping Script = { _ in nil }) throws {
        let scratch = try Scratch()
        path = scratch.at("socket")
        self.scratch = Locked(scratch)
        let made = UnixSocket.listen(path)
        guard made >= 0 else { throw PeerError(.ended, "cannot listen") }
        listening = OwnedDescriptor(taking: made)
        self.capabilities = capabilities
        self.script = script
        state.withLock { state in
            state.space[0] = 0x36
            state.space[1] = 0x1b
            state.space[2] = 3
        }
        Thread.detachNewThread { [weak self, listening] in
            while true {
                let made = UnixSocket.accept(listening)
                guard made >= 0, let self else { return }
                serve(OwnedDescriptor(taking: made))
            }
        }
    }

    deinit {
        UnixSocket.end(listening)
        let connection = state.withLock { $0.connection }
        connection?.end("the test is over")
        connection?.join()
    }

    /// What the client has asked.
    var requests: [Request] { state.withLock { $0.requests } }
    /// What it has sent, with its descriptors.
    var messages: [Connection.Message] { state.withLock { $0.messages } }
    var connection: Connection? { state.withLock { $0.connection } }
    func register(_ offset: Int) -> UInt8 { state.withLock { $0.registers[offset] } }

    private func serve(_ socket: OwnedDescriptor) {
        let connection = Connection(socket, patience: .seconds(20))
        guard (try? connection.start()) != nil else { return }
        state.withLock { $0.connection = connection }
        Thread.detachNewThread { [weak self] in
            while let message = connection.take(until: .never) {
                guard let self else { break }
                answer(message, connection)
            }
            connection.end("over")
        }
    }

    private func answer(_ message: Connection.Message, _ connection: Connection) {
        guard
            let request = try? Request(
                command: message.header.command, payload: message.payload, descriptors: message.descriptors.count,
                transferSize: 1 << 20)
        else { return connection.refuse(message, 22) }
        state.withLock { state in
            state.requests.append(request)
            state.messages.append(message)
        }
        switch script(request) ?? plain(request) {
        case .payload(let payload, let descriptors):
            connection.reply(to: message, payload, descriptors: descriptors.map(\.number))
        case .refusal(let number): connection.refuse(message, number)
        case .end: connection.end("the script says so")
        case .silence, .later: break
        }
    }

    /// The protocol's answer: configuration space and a region 0 of 64 KiB as plain memory.
    func plain(_ request: Request) -> Answer {
        switch request {
        case .version: return .payload(VersionMessage(minor: 1, capabilities).payload)
        case .dmaMap, .setInterrupts, .reset: return .payload([])
        case .dmaUnmap(let unmap): return .payload(unmap.payload)
        case .deviceInfo:
            return .payload(DeviceInfoMessage(canReset: true, isPCI: true, regions: 9, interrupts: 5).payload)
        case .regionInfo(let query): return .payload(Self.region(query.index).payload(room: query.replySize))
        case .interruptInfo(let query):
            return .payload(InterruptInfoMessage(index: query.index, count: query.index < 2 ? 8 : 0).payload)
        case .regionRead(var access):
            guard access.region == 0 || access.region == 7 else { return .refusal(22) }
            access.data = state.withLock { state in
                let place = Int(access.offset)
                return Array((access.region == 0 ? state.registers : state.space)[place..<place + access.count])
            }
            return .payload(access.payload)
        case .regionWrite(var access):
            guard access.region == 0 || access.region == 7 else { return .refusal(22) }
            state.withLock { state in
                for (byte, value) in access.data.enumerated() {
                    let place = Int(access.offset) + byte
                    // The first four bytes are the device's own.
                    if access.region == 0 { state.registers[place] = value } else if place > 3 { state.space[place] = value }
                }
            }
            access.data = []
            return .payload(access.payload)
        default: return .refusal(95)
        }
    }

    static func region(_ index: UInt32) -> RegionInfoMessage {
        var info = RegionInfoMessage(index: index)
        info.count = index == 0 ? 1 << 16 : index == 7 ? 256 : 0
        info.isReadable = info.count > 0
        info.isWritable = info.count > 0
        return info
    }
}
