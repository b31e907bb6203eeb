// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAAccess
internal import DMADriverKit
internal import DMAThreads
internal import DMATypes

/// A thread that waits for a device's events, and calls the driver's handler.
final class InterruptThread: Sendable {
    private static let tick: Int64 = 100_000_000

    let events: [EventDescriptor]
    private let wake: EventDescriptor
    private let epoll: OwnedEpoll
    private let isStopping: Shared
    private let thread: NativeThread

    private final class Shared: Sendable {
        let isStopping = Locked(false)
    }

    /// A set of descriptors of epoll(7).
    private final class OwnedEpoll: Sendable {
        let number: Int32
        init() throws(DMAError) {
            number = cdma_epoll_make()
            guard number >= 0 else { throw DMAError(.kernelRefused, errno: -number) }
        }
        deinit { if number >= 0 { _ = cdma_close(number) } }
        func add(_ event: EventDescriptor, _ token: Int) throws(DMAError) {
            let added = cdma_epoll_add(number, event.descriptor, UInt64(token))
            guard added == 0 else { throw DMAError(.kernelRefused, errno: -added) }
        }
    }

    /// - Parameters:
    ///   - count: events.
    ///   - handled: called after the handler, with the vector.
    init(
        _ count: Int, _ handler: @escaping InterruptHandler, handled: @escaping @Sendable (Int) -> Void
    ) throws(DMAError) {
        var events: [EventDescriptor] = []
        for _ in 0..<count { events.append(try EventDescriptor()) }
        let (wake, epoll, shared) = (try EventDescriptor(), try OwnedEpoll(), Shared())
        for (token, event) in events.enumerated() { try epoll.add(event, token) }
        try epoll.add(wake, count)
        let watched = events
        thread = try NativeThread {
            withExtendedLifetime(wake) { Self.run(watched, epoll, shared, handler, handled) }
        }
        (self.events, self.wake, self.epoll, isStopping) = (events, wake, epoll, shared)
    }

    deinit { stop() }

    /// The handler is not called any more when this returns, unless it is the caller.
    func stop() {
        let isFirst = isStopping.isStopping.withLock { isStopping in
            defer { isStopping = true }
            return !isStopping
        }
        // Where it cannot be signalled, the next tick ends the thread.
        if isFirst { try? wake.signal() }
        if !thread.isCurrent { thread.join() }
    }

    private static func run(
        _ events: [EventDescriptor], _ epoll: OwnedEpoll, _ shared: Shared, _ handler: InterruptHandler,
        _ handled: @Sendable (Int) -> Void
    ) {
        var tokens = [UInt64](repeating: 0, count: 64)
        var nextTick = Deadline.after(nanoseconds: tick)
        while !shared.isStopping.withLock({ $0 }) {
            let left = Int64(clamping: Deadline.now.nanoseconds(until: nextTick))
            // SAFETY: the C function writes at most as many tokens as the array has.
            let count = unsafe cdma_epoll_wait(epoll.number, &tokens, Int32(tokens.count), left)
            // Where waiting fails for good, the thread must not spin.
            if count < 0 { cdma_sleep_until(cdma_monotonic_nanoseconds() + 1_000_000) }
            for token in tokens.prefix(Int(max(count, 0))) {
                let vector = Int(token)
                guard events.indices.contains(vector), cdma_event_clear(events[vector].descriptor) == 0 else { continue }
                if shared.isStopping.withLock({ $0 }) { return }
                handler(.vector(vector))
                handled(vector)
            }
            guard Deadline.now >= nextTick else { continue }
            nextTick = .after(nanoseconds: tick)
            if !shared.isStopping.withLock({ $0 }) { handler(.tick) }
        }
    }
}
