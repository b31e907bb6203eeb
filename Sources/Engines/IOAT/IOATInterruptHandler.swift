// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// Tells interrupts apart by channel, and switches them on again.
///
/// As Linux's `ioat_dma_do_interrupt`: the control register is read, which switches interrupts off; then which channels have one; and it is written
/// back. A channel raises one interrupt and no further one until it is rearmed. That is done before its waiters look: a completion behind the look
/// interrupts again.
final class IOATInterruptHandler: Sendable {
    private struct State {
        var isOn = false
        var interrupts: UInt64 = 0
        /// Interrupts that no channel has raised.
        var stray: UInt64 = 0
        var nudged = Deadline(nanoseconds: 0)
    }

    private let window: RegisterWindow
    /// A line for each channel.
    let lines: [InterruptLine]
    private let state = Locked(State())
    /// How often a tick wakes waiters, for whom nothing else may.
    private static let tick = Duration.milliseconds(20)

    init(_ window: consuming RegisterWindow, channels: Int) {
        self.window = window
        lines = (0..<channels).map { _ in InterruptLine() }
    }

    /// The registers of a channel.
    func channel(_ index: Int) -> RegisterWindow? {
        window.part(at: (index + 1) * IOAT.channelStride, count: IOAT.channelStride)
    }

    var isOn: Bool {
        get { state.withLock { $0.isOn } }
        set { state.withLock { $0.isOn = newValue } }
    }
    var figures: (interrupts: UInt64, stray: UInt64) { state.withLock { ($0.interrupts, $0.stray) } }

    /// Switches interrupts on, at the beginning and after a reset of the device.
    func switchOn() {
        var control = IOATInterruptControl(word: 0)
        control[.isEnabled] = isOn
        window.write(control, to: IOAT.interruptControl)
    }

    var delaySupported: Bool {
        let delay = window.read(IOAT.interruptDelay)
        return !delay.isAllOnes && delay[.isSupported]
    }

    func setDelay(_ microseconds: UInt16) {
        var delay = IOATInterruptDelay(word: 0)
        delay[.microseconds] = microseconds
        window.write(delay, to: IOAT.interruptDelay)
        // Nothing else pushes it out.
        _ = window.read(IOAT.interruptDelay)
    }

    func handle(_ cause: InterruptCause) {
        guard case .vector = cause else { return tick() }
        let control = window.read(IOAT.interruptControl)
        // Nothing can be told apart: everybody looks.
        guard !control.isAllOnes else { return wakeAll() }
        let attention = window.read(IOAT.attention)
        var found = false
        for index in lines.indices where attention & 1 << UInt32(index) != 0 {
            found = true
            rearm(index)
            lines[index].raise()
        }
        state.withLock { state in
            state.interrupts &+= 1
            if !found { state.stray &+= 1 }
        }
        switchOn()
    }

    /// Lets a channel raise its next interrupt.
    func rearm(_ index: Int) { if let channel = channel(index) { channel.write(.run, to: IOATChannel.control) } }

    private func wakeAll() { for line in lines { _ = line.nudge() } }

    /// Wakes waiters without an interrupt now and then: one that got lost costs time, and a channel that is stuck is found by who polls it.
    private func tick() {
        let isDue = state.withLock { state in
            guard state.isOn, Deadline.now >= state.nudged else { return false }
            state.nudged = .after(Self.tick)
            return true
        }
        if isDue { wakeAll() }
    }
}
