// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMADeviceSide
internal import DMADriverKit
internal import DMATypes
internal import DMAVFIOUserProtocol

/// The events that a client has given for interrupts, and which of them it has masked.
///
/// A message that fires while its vector is masked is kept, and unmasking delivers one, however many there were. INTx has a level: delivering it masks it,
/// and unmasking delivers it again for as long as the device asserts it (linux/vfio.h, VFIO_IRQ_INFO_AUTOMASKED). The masks in the device's own
/// configuration space are the function's affair, and come first.
///
/// Thread rules: everything may be called from any thread.
final class ClientInterrupts: Sendable {
    private struct Vector {
        var event: EventDescriptor?
        var isMasked = false
        var isPending = false
    }
    private struct State {
        /// By the number of the kind.
        var vectors: [[Vector]]
        var failures: UInt64 = 0
    }

    private let function: DeviceFunction
    private let state: Locked<State>

    init(_ function: DeviceFunction) {
        self.function = function
        let description = function.description
        var counts = [Int](repeating: 0, count: Int(InterruptInfoMessage.kinds))
        counts[Int(InterruptInfoMessage.intx)] = description.hasINTx ? 1 : 0
        counts[Int(InterruptInfoMessage.msi)] = min(max(description.msiVectors, 0), 32)
        state = Locked(State(vectors: counts.map { [Vector](repeating: Vector(), count: $0) }))
    }

    func info(_ index: UInt32) -> InterruptInfoMessage? {
        let count = state.withLock { index < UInt32($0.vectors.count) ? $0.vectors[Int(index)].count : nil }
        guard let count else { return nil }
        return InterruptInfoMessage(
            index: index, count: UInt32(count), isMaskable: count > 0,
            masksItself: count > 0 && index == InterruptInfoMessage.intx)
    }

    /// Whether the client has given an event for any vector of a kind.
    func hasEvents(_ index: UInt32) -> Bool {
        state.withLock { $0.vectors[Int(index)].contains { $0.event != nil } }
    }

    /// Does what a client asks.
    func set(_ message: SetInterruptsMessage, _ descriptors: [OwnedDescriptor]) throws(Refusal) {
        var events: [EventDescriptor] = []
        for descriptor in descriptors {
            // The event closes its descriptor, and so does the message.
            let copy = cdma_duplicate(descriptor.number)
            guard copy >= 0 else { throw Refusal(number: UInt32(-copy)) }
            do throws(DMAError) { events.append(try EventDescriptor(taking: copy)) } catch {
                _ = cdma_close(copy)
                throw .invalid
            }
        }
        try state.withLock { (state) throws(Refusal) in
            let index = Int(message.index)
            guard index < state.vectors.count else { throw .invalid }
            if message.switchesOff {
                for vector in state.vectors[index].indices { state.vectors[index][vector] = Vector() }
                return
            }
            let (start, count) = (Int(message.start), Int(message.count))
            guard start + count <= state.vectors[index].count else { throw .invalid }
            if message.target == .events {
                // Events that tell of masking are for clients within the kernel.
                guard message.action == .trigger else { throw .unsupported }
                for vector in 0..<count {
                    state.vectors[index][start + vector].event = events.isEmpty ? nil : events[vector]
                }
                // What was asserted before anybody listened.
                if message.index == InterruptInfoMessage.intx, function.assertsINTx { Self.deliverINTx(&state) }
                return
            }
            for vector in 0..<count {
                if case .flags(let flags) = message.target, !flags[vector] { continue }
                act(message.action, index, start + vector, &state)
            }
        }
    }

    private func act(_ action: SetInterruptsMessage.Action, _ index: Int, _ vector: Int, _ state: inout State) {
        switch action {
        case .mask: state.vectors[index][vector].isMasked = true
        case .unmask:
            state.vectors[index][vector].isMasked = false
            if index == Int(InterruptInfoMessage.intx) {
                // Looked at after unmasking: what is asserted after the look finds it unmasked.
                if function.assertsINTx { Self.deliverINTx(&state) }
            } else if state.vectors[index][vector].isPending {
                state.vectors[index][vector].isPending = false
                Self.signal(index, vector, &state)
            }
        case .trigger: Self.signal(index, vector, &state)
        }
    }

    private static func signal(_ index: Int, _ vector: Int, _ state: inout State) {
        guard let event = state.vectors[index][vector].event else { return }
        do throws(DMAError) { try event.signal() } catch { state.failures &+= 1 }
    }

    private static func deliverINTx(_ state: inout State) {
        let index = Int(InterruptInfoMessage.intx)
        guard let vector = state.vectors[index].first, !vector.isMasked, vector.event != nil else { return }
        state.vectors[index][0].isMasked = true
        signal(index, 0, &state)
    }

    /// An interrupt of the device's.
    func fire(_ vector: Int, isMessage: Bool) {
        state.withLock { state in
            guard isMessage else { return Self.deliverINTx(&state) }
            let index = Int(InterruptInfoMessage.msi)
            guard state.vectors[index].indices.contains(vector) else { return }
            if state.vectors[index][vector].isMasked {
                state.vectors[index][vector].isPending = true
            } else {
                Self.signal(index, vector, &state)
            }
        }
    }

    /// Closes every event.
    func clear() {
        state.withLock { state in
            for index in state.vectors.indices {
                for vector in state.vectors[index].indices { state.vectors[index][vector] = Vector() }
            }
        }
    }
}
