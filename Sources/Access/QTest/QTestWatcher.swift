// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMAThreads
internal import DMATypes

/// A thread that hands interrupts over: messages that have arrived in the machine's memory, and pins of the interrupt controller that were raised.
///
/// It runs while a device has interrupts on. Of a pin the protocol tells; a message is a word of memory, which is looked at every 200 µs.
final class QTestWatcher: Sendable {
    struct Source {
        let handler: InterruptHandler
        /// The words of its messages; empty for a pin.
        let messages: [UInt64]
        /// The interrupt controller's pin; nil for messages.
        let pin: Int?
    }

    private struct State {
        var sources: [QTestSlot: Source] = [:]
        var thread: NativeThread?
        /// Counts threads: one that finds another number ends.
        var turn: UInt64 = 0
        /// The device whose handler is being called.
        var current: QTestSlot?
    }

    private static let messagePause: Int64 = 200_000
    private static let tickPause: Int64 = 100_000_000

    private let connection: QTestConnection
    private let memory: GuestMemory
    private let state = Shared()

    private final class Shared: Sendable {
        let locked = Locked(State())
    }

    init(_ connection: QTestConnection, _ memory: GuestMemory) {
        self.connection = connection
        self.memory = memory
    }

    func add(_ slot: QTestSlot, _ source: Source) throws(DMAError) {
        // Messages from before belong to no source.
        for address in source.messages { _ = memory.take(address) }
        let (state, connection, memory) = (state, connection, memory)
        try state.locked.withLock { (shared) throws(DMAError) in
            shared.sources[slot] = source
            guard shared.thread == nil else { return }
            shared.turn &+= 1
            let turn = shared.turn
            shared.thread = try NativeThread { Self.run(turn, state, connection, memory) }
        }
    }

    /// The handler of that device is not called any more when this returns, unless it is the caller.
    func remove(_ slot: QTestSlot) {
        let thread = state.locked.withLock { state -> NativeThread? in
            state.sources[slot] = nil
            return state.thread
        }
        guard let thread, !thread.isCurrent else { return }
        while state.locked.withLock({ $0.current == slot }) { cdma_sleep_until(cdma_monotonic_nanoseconds() + 20_000) }
    }

    func stop() {
        let thread = state.locked.withLock { state -> NativeThread? in
            state.sources = [:]
            state.turn &+= 1
            defer { state.thread = nil }
            return state.thread
        }
        if let thread, !thread.isCurrent { thread.join() }
    }

    private static func run(_ turn: UInt64, _ state: Shared, _ connection: QTestConnection, _ memory: GuestMemory) {
        var nextTick = Deadline.after(nanoseconds: tickPause)
        while true {
            let sources = state.locked.withLock { $0.turn == turn ? $0.sources : nil }
            guard let sources else { return }
            let pause = sources.values.contains { !$0.messages.isEmpty } ? messagePause : 20_000_000
            // Where nothing is left to be read, as of a connection that has ended, the pause is made here.
            if connection.failure != nil || !connection.waitReadable(pause) && pause > messagePause {
                cdma_sleep_until(cdma_monotonic_nanoseconds() + min(pause, 1_000_000))
            }
            let changes = connection.takeChanges()
            let isTick = Deadline.now >= nextTick
            if isTick { nextTick = .after(nanoseconds: tickPause) }
            for (slot, source) in sources {
                var causes: [InterruptCause] = []
                if let pin = source.pin, changes.contains(where: { $0.pin == pin && $0.isRaised }) { causes.append(.vector(0)) }
                for (vector, address) in source.messages.enumerated() where memory.take(address) != 0 {
                    causes.append(.vector(vector))
                }
                if isTick { causes.append(.tick) }
                guard !causes.isEmpty else { continue }
                // One that was removed meanwhile is not called.
                let isThere = state.locked.withLock { state in
                    guard state.turn == turn, state.sources[slot] != nil else { return false }
                    state.current = slot
                    return true
                }
                guard isThere else { continue }
                for cause in causes { source.handler(cause) }
                state.locked.withLock { $0.current = nil }
            }
        }
    }
}
