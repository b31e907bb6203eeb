// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit
import Synchronization

/// The device of a ``CyclicEngine``: a clock that a test moves by hand, and the stream on its other side.
public final class CyclicDevice: Sendable {
    struct State {
        var ring: (address: UInt64, count: UInt64, period: UInt64, captures: Bool, interrupts: Bool, tag: UInt32)?
        /// Bytes moved since the start.
        var position: UInt64 = 0
        var isPaused = false
        var played: [UInt8] = []
    }
    let state = Mutex(State())
    let line = InterruptLine()

    /// What capture brings at a place of the stream: no two neighbouring periods alike.
    public static func captured(at offset: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: (offset &* 0x9e37_79b9_7f4a_7c15) >> 40)
    }

    /// Moves the hardware on by `count` bytes. Nothing while it is paused or stopped.
    public func advance(_ count: Int) {
        let periods = state.withLock { state -> UInt64 in
            guard let ring = state.ring, !state.isPaused else { return 0 }
            let before = state.position / ring.period
            for _ in 0..<max(count, 0) {
                // The channel keeps the ring's memory until the engine has quiesced, and `ring` is gone by then.
                guard
                    let byte = unsafe UnsafeMutablePointer<UInt8>(
                        bitPattern: UInt(ring.address + state.position % ring.count))
                else { break }
                if ring.captures {
                    unsafe byte.pointee = CyclicDevice.captured(at: state.position)
                } else {
                    unsafe state.played.append(byte.pointee)
                }
                state.position += 1
            }
            return ring.interrupts ? state.position / ring.period - before : 0
        }
        for _ in 0..<periods { line.raise() }
    }

    /// Everything played so far.
    public var played: [UInt8] { state.withLock { $0.played } }
}

/// A ring with periods and a hardware position: sound's capture and playback. It moves by its device's clock, or by `speed`
/// bytes for
/// each poll.
public struct CyclicEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    public let device = CyclicDevice()
    /// Bytes for each poll; 0 leaves the pace to ``CyclicDevice/advance(_:)``.
    public var speed: Int
    private var waiting: (Descriptor, UInt32)?
    private var reportedPeriods: UInt64 = 0

    public init(speed: Int = 0) { self.speed = speed }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(name: "cyclic", implementation: "scripted", operations: [.cyclic], depth: 1)
        capabilities.flags = [.interrupt]
        capabilities.canPause = true
        capabilities.hasInterrupts = true
        capabilities.residueGranularity = .burst
        capabilities.maximumCount = 1 << 24
        return capabilities
    }

    public var interruptLine: InterruptLine? { device.line }

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard waiting == nil, device.state.withLock({ $0.ring == nil }) else { return .full }
        waiting = (descriptor, tag)
        return .accepted
    }

    public mutating func issuePending() {
        guard let (descriptor, tag) = waiting else { return }
        waiting = nil
        reportedPeriods = 0
        device.state.withLock { state in
            let captures = descriptor.destination != 0
            state.position = 0
            state.played = []
            state.ring = (
                captures ? descriptor.destination : descriptor.source, descriptor.count, descriptor.value, captures,
                descriptor.flags.contains(.interrupt), tag
            )
        }
    }

    public mutating func next() -> Completion? {
        if speed > 0 { device.advance(speed) }
        guard
            let (periods, tag) = device.state.withLock({ state in
                state.ring.map { (state.position / $0.period, $0.tag) }
            })
        else { return nil }
        guard periods > reportedPeriods else { return nil }
        reportedPeriods = periods
        return Completion(tag: tag, isPeriod: true, value: periods)
    }

    public mutating func terminate() { device.state.withLock { $0.isPaused = true } }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        waiting = nil
        device.state.withLock { state in
            state.ring = nil
            state.isPaused = false
        }
        return true
    }

    public mutating func pause() -> Bool {
        device.state.withLock { $0.isPaused = true }
        return true
    }

    public mutating func resume() -> Bool {
        device.state.withLock { $0.isPaused = false }
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        device.state.withLock { state in
            guard let ring = state.ring, ring.tag == tag else { return nil }
            return ring.count - state.position % ring.count
        }
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        let seen = device.line.count
        let periods = device.state.withLock { state in state.ring.map { state.position / $0.period } ?? 0 }
        return periods > reportedPeriods || speed > 0 || device.line.wait(after: seen, until: deadline)
    }
}
