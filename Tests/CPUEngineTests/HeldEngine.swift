// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import Foundation

/// An engine that moves nothing, and completes transactions on the test's command: a device that can be slow, stuck or gone.
struct HeldEngine: ~Copyable, Engine {
    /// The device's side. Any thread may use it.
    final class Device: @unchecked Sendable {
        private let lock = NSLock()
        private var state = State()
        let line = InterruptLine()

        struct State {
            var queued: [UInt32] = []
            var issued: [UInt32] = []
            var complete: [UInt32] = []
            /// Tags in the order of arrival, and the offset into the destination of each.
            var log: [UInt64] = []
            var most = 0
            var terminations = 0
            var stops = true
            var isGone = false
            var letsAll = false
        }

        func with<R>(_ body: (inout State) -> R) -> R { lock.withLock { body(&state) } }

        /// Completes the oldest ones.
        func complete(_ number: Int = .max) {
            with { state in
                let ready = min(number, state.issued.count)
                state.complete += state.issued.prefix(ready)
                state.issued.removeFirst(ready)
            }
            line.raise()
        }

        /// Waits until the device has that many.
        func waitUntilIssued(_ number: Int) async -> Bool {
            for _ in 0..<100_000 {
                if with({ $0.issued.count }) >= number { return true }
                try? await Task.sleep(nanoseconds: 1_000_000)
            }
            return false
        }
    }

    let device: Device
    let depth: Int

    init(_ device: Device, depth: Int = 4) {
        self.device = device
        self.depth = depth
    }

    var capabilities: Capabilities {
        var capabilities = Capabilities(name: "held", operations: [.copy, .fill, .crc32c, .null], depth: depth)
        capabilities.hasInterrupts = true
        capabilities.flags = [.interrupt, .fence]
        return capabilities
    }
    var addressing: EngineAddressing { .cpu }
    var interruptLine: InterruptLine? { device.line }
    var isGone: Bool { device.with { $0.isGone } }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        device.with { state in
            state.queued.append(tag)
            state.log.append(descriptor.count)
            state.most = max(state.most, state.queued.count + state.issued.count + state.complete.count)
        }
        return .accepted
    }
    mutating func issuePending() {
        let letsAll = device.with { state in
            state.issued += state.queued
            state.queued = []
            return state.letsAll
        }
        if letsAll { device.complete() }
    }
    mutating func next() -> Completion? {
        device.with { $0.complete.isEmpty ? nil : Completion(tag: $0.complete.removeFirst()) }
    }
    mutating func terminate() { device.with { $0.terminations += 1 } }
    mutating func quiesce(by deadline: Deadline) -> Bool {
        device.with { state in
            if state.stops { (state.queued, state.issued) = ([], []) }
            return state.stops
        }
    }
    mutating func wait(until deadline: Deadline) -> Bool { device.line.wait(after: device.line.count, until: deadline) }
}
