// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAEngineKit

/// The device of a ``CyclicEngine``: a clock that a test advances, and the stream on its far side.
///
/// Its driver reads two registers, as with real devices: the position in the ring, and the laps since the start. Each changes
/// on its own: at the end of the ring the position first equals the ring's length, then the lap is counted, and only then the
/// position returns to 0. Bytes released by ``release(_:)`` move between any two reads of the driver.
public final class CyclicDevice: Sendable {
    struct State {
        var ring: (address: UInt64, count: UInt64, period: UInt64, captures: Bool, interrupts: Bool, tag: UInt32)?
        /// The two registers.
        var position: UInt64 = 0
        var laps: UInt64 = 0
        /// Whether the lap was counted for a position at the end of the ring.
        var hasCountedLap = false
        /// Bytes that the device may move on its own.
        var released = 0
        var random = DeviceRandom(seed: 9)
        var isPaused = false
        var played: [UInt8] = []

        /// Bytes moved since the start.
        var moved: UInt64 { laps * (ring?.count ?? 0) + (hasCountedLap ? 0 : position) }
    }
    let state = Locked(State())
    let line = InterruptLine()

    /// The captured data at a position of the stream: no two adjacent periods are alike.
    public static func captured(at offset: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: (offset &* 0x9e37_79b9_7f4a_7c15) >> 40)
    }

    /// Advances the hardware by `count` bytes. Does nothing while it is paused or stopped.
    public func advance(_ count: Int) {
        let periods = state.withLock { state -> UInt64 in
            guard let ring = state.ring, !state.isPaused else { return 0 }
            let before = state.moved / ring.period
            var left = max(count, 0)
            while left > 0 { if CyclicDevice.move(&state, ring.count) { left -= 1 } }
            CyclicDevice.settle(&state, ring.count)
            return ring.interrupts ? state.moved / ring.period - before : 0
        }
        for _ in 0..<periods { line.raise() }
    }

    /// Lets the hardware move up to `count` more bytes, whenever the driver reads a register.
    public func release(_ count: Int) { state.withLock { $0.released += max(count, 0) } }

    /// Everything played so far.
    public var played: [UInt8] { state.withLock { $0.played } }

    // MARK: Registers

    /// The position in the ring. 0 up to the ring's length, which it has while a lap is being counted.
    func readPosition() -> UInt64 { read { $0.position } }
    /// Rounds since the start.
    func readLaps() -> UInt64 { read { $0.laps } }

    /// One access of the driver. The device may have moved since the last one: by a few steps, a few periods, or a whole ring.
    private func read(_ register: (State) -> UInt64) -> UInt64 {
        state.withLock { state in
            guard let ring = state.ring, !state.isPaused else { return register(state) }
            // A change of the registers that has begun completes, whether or not there is more to move.
            if state.position == ring.count, state.random.below(2) == 0 { CyclicDevice.move(&state, ring.count) }
            if state.released > 0 {
                let most = [1, 2, 8, Int(ring.period), Int(ring.count + ring.period)][state.random.below(5)]
                let steps = min(state.random.below(most + 1), state.released)
                for _ in 0..<steps where state.released > 0 { if CyclicDevice.move(&state, ring.count) { state.released -= 1 } }
            }
            return register(state)
        }
    }

    /// One step: a byte, or a change of one register. True where it was a byte.
    @discardableResult
    private static func move(_ state: inout State, _ count: UInt64) -> Bool {
        guard let ring = state.ring else { return true }
        if state.position == count {
            if state.hasCountedLap {
                (state.position, state.hasCountedLap) = (0, false)
            } else {
                (state.laps, state.hasCountedLap) = (state.laps + 1, true)
            }
            return false
        }
        // SAFETY: the channel keeps the ring's memory until the engine has quiesced, and `ring` is gone by then.
        if let byte = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(ring.address + state.position)) {
            if ring.captures {
                unsafe byte.pointee = CyclicDevice.captured(at: state.laps * count + state.position)
            } else {
                unsafe state.played.append(byte.pointee)
            }
        }
        state.position += 1
        return true
    }

    /// Completes a change of the registers.
    private static func settle(_ state: inout State, _ count: UInt64) { while state.position == count { move(&state, count) } }
}

/// A ring with periods and a hardware position: capture and playback of sound. It moves with its device's clock, or by `speed`
/// bytes for each poll.
public struct CyclicEngine: ~Copyable, Engine {
    /// How the driver reads the two registers.
    public enum Reading: String, CaseIterable, Sendable {
        /// The lap before and after the position, repeated if it has changed or the position is at the end.
        case guarded
        /// The lap, then the position: the device may wrap between the two.
        case lapFirst
        /// The position, then the lap.
        case positionFirst
    }

    public var addressing: EngineAddressing { .cpu }
    public let device = CyclicDevice()
    /// Bytes for each poll; 0 leaves the speed to ``CyclicDevice/advance(_:)``.
    public var speed: Int
    private let reading: Reading
    private var waiting: (Descriptor, UInt32)?
    private var reportedPeriods: UInt64 = 0

    public init(speed: Int = 0, reading: Reading = .guarded) {
        self.speed = speed
        self.reading = reading
    }

    /// Bytes since the start, from the two registers.
    private func moved(_ count: UInt64) -> UInt64 {
        switch reading {
        case .lapFirst:
            let laps = device.readLaps()
            return laps * count + device.readPosition()
        case .positionFirst:
            let position = device.readPosition()
            return device.readLaps() * count + position
        case .guarded:
            var (laps, position) = (UInt64(0), UInt64(0))
            // While the lap is unchanged, a position before the end belongs to it. Bounded: a device cannot hold the driver.
            for _ in 0..<64 {
                laps = device.readLaps()
                position = device.readPosition()
                if position < count, device.readLaps() == laps { break }
            }
            return laps * count + (position < count ? position : 0)
        }
    }

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
            (state.position, state.laps, state.hasCountedLap, state.released) = (0, 0, false, 0)
            state.played = []
            state.ring = (
                captures ? descriptor.destination : descriptor.source, descriptor.count, descriptor.value, captures,
                descriptor.flags.contains(.interrupt), tag
            )
        }
    }

    public mutating func next() -> Completion? {
        if speed > 0 { device.advance(speed) }
        guard let ring = device.state.withLock({ $0.ring }) else { return nil }
        let (periods, tag) = (moved(ring.count) / ring.period, ring.tag)
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
        guard let ring = device.state.withLock({ $0.ring }), ring.tag == tag else { return nil }
        return ring.count - moved(ring.count) % ring.count
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        let seen = device.line.count
        let periods = device.state.withLock { state in state.ring.map { state.position / $0.period } ?? 0 }
        return periods > reportedPeriods || speed > 0 || device.line.wait(after: seen, until: deadline)
    }
}
