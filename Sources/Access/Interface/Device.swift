// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMAPCISpecification
public import DMATypes

/// A device that is open and reaches no memory: its bus master is off, and it was reset.
///
/// The types enforce the order of opening and closing: opening switches the bus master off and resets the device before any other access; rings and
/// buffers are mapped while this value exists; only ``start()`` switches the bus master on, and consumes the value. ``RunningDevice/stop(until:_:)``
/// returns to this state, and requires a proof that the device has stopped. The end of this value releases the device; memory that was mapped for it
/// can then be unmapped.
///
/// A driver without this order never switched bus mastering on and worked by luck; another found it left on by the former owner, whose stale addresses
/// the device wrote to right after attaching (openvmm pull requests 675 and 3338).
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
public struct QuietDevice: ~Copyable, Sendable {
    let core: OpenDevice

    /// Opens a device: bus master off, reset, ready.
    ///
    /// - Parameters:
    ///   - transport: the way to it.
    ///   - constraints: what it asks of memory.
    ///   - resetLimit: until when it must answer after its reset. All ones until then mean that it is not ready, and later that it is gone.
    /// - Throws: `busy`, `absent`, `gone`, `notReady`, `badConfiguration`, `refused`.
    public init(
        opening transport: any DeviceTransport, constraints: DeviceConstraints = DeviceConstraints(),
        resetLimit: Deadline = .after(milliseconds: 1100)
    ) throws(AccessError) {
        core = try OpenDevice(transport, constraints, resetLimit: resetLimit)
    }

    init(_ core: OpenDevice) { self.core = core }

    deinit { core.ended(.quiet) }

    /// The transport's name for messages.
    public var name: String { core.transport.name }
    /// The identification in its configuration space.
    public var header: FunctionHeader { core.header }
    /// How it was reset.
    public var resetMethod: ResetMethod { core.reset }
    /// Its configuration space.
    public var configuration: DeviceConfiguration { core.configuration }
    /// The domain that memory is mapped for.
    public var domain: Domain { core.domain }

    /// The registers behind a base address register.
    ///
    /// - Parameter count: bytes that the driver needs, at least.
    /// - Throws: `noWindow`.
    public borrowing func window(_ index: Int, atLeast count: Int = 0) throws(AccessError) -> RegisterWindow {
        try core.window(index, atLeast: count)
    }

    /// How many vectors of a kind there are.
    public borrowing func interruptCount(_ kind: InterruptKind) -> Int { core.transport.interruptCount(kind) }

    /// Switches interrupts on: those of the first kind of the list that the device has enough of.
    ///
    /// - Parameter handler: called for each interrupt, and now and then without one. It must not wait. See ``DeviceTransport/deliversInterrupts`` for
    ///   who calls it.
    /// - Returns: the kind.
    /// - Throws: `noInterrupts`, `refused`.
    @discardableResult
    public borrowing func enableInterrupts(
        _ count: Int = 1, preferring kinds: [InterruptKind] = [.msix, .msi, .intx], _ handler: @escaping InterruptHandler
    ) throws(AccessError) -> InterruptKind {
        try core.enableInterrupts(kinds, count, handler)
    }

    /// Whether interrupts are handed over by themselves, so that a task can wait for one.
    public var deliversInterrupts: Bool { core.transport.deliversInterrupts }

    /// Looks for interrupts that have arrived, where nothing else does.
    public borrowing func look() { if !core.transport.deliversInterrupts { core.transport.look() } }

    /// Lets time pass until `deadline` or less, while the driver has nothing to do but to look again.
    public borrowing func pause(until deadline: Deadline) {
        core.transport.pause(until: min(deadline, .after(milliseconds: 1)))
    }

    /// Switches the bus master on: from here on the device may reach what is mapped for it.
    ///
    /// - Throws: `gone`, `badConfiguration`. The device is closed then.
    public consuming func start() throws(AccessError) -> RunningDevice {
        try core.start()
        return RunningDevice(core)
    }
}

/// A device that may reach the memory that is mapped for it.
///
/// Where it ends without ``stop(until:_:)``, as in a driver that is dropped, the bus master is switched off and the device is reset, if it can be.
///
/// Thread rules: as ``QuietDevice``.
public struct RunningDevice: ~Copyable, Sendable {
    let core: OpenDevice

    init(_ core: OpenDevice) { self.core = core }

    deinit { core.ended(.running) }

    /// The transport's name for messages.
    public var name: String { core.transport.name }
    /// Its configuration space.
    public var configuration: DeviceConfiguration { core.configuration }
    /// The domain that memory is mapped for.
    public var domain: Domain { core.domain }
    /// The registers behind a base address register, as ``QuietDevice/window(_:atLeast:)``.
    public borrowing func window(_ index: Int, atLeast count: Int = 0) throws(AccessError) -> RegisterWindow {
        try core.window(index, atLeast: count)
    }
    /// Why it answers no more; nil while it is there.
    public var goneReason: String? { core.transport.goneReason }
    /// Whether it is proved to reach no memory any more, because what it ran in has ended.
    public var isDead: Bool { core.transport.isDead }
    /// Whether interrupts are handed over by themselves, so that a task can wait for one.
    public var deliversInterrupts: Bool { core.transport.deliversInterrupts }

    /// Looks for interrupts that have arrived, where nothing else does.
    public borrowing func look() { if !core.transport.deliversInterrupts { core.transport.look() } }

    /// Lets time pass until `deadline` or less, while the driver has nothing to do but to look again.
    public borrowing func pause(until deadline: Deadline) {
        core.transport.pause(until: min(deadline, .after(milliseconds: 1)))
    }

    /// Stops the device whatever it does, and starts it again: bus master off, reset, bus master on, and interrupts as before.
    ///
    /// - Parameters:
    ///   - deadline: until when it must be ready again, and stopped.
    ///   - isStopped: what the driver reads of the device that proves it: a reset that the way cannot do has not stopped it. Asked while the bus master
    ///     is off.
    /// - Throws: `gone`, `notReady`, `notStopped`, `badConfiguration`, `refused`. The bus master is then off, unless the configuration space does not
    ///   answer or does not keep what is written to it (`gone`, `badConfiguration`).
    public borrowing func restart(by deadline: Deadline, _ isStopped: () -> Bool) throws(AccessError) {
        try core.restart(by: deadline, isStopped)
    }

    /// Whether the device is told to keep away from memory, and says that it does.
    public borrowing func switchOff() -> Bool {
        (try? OpenDevice.setBusMaster(false, core.configuration, core.transport)) != nil
    }

    /// Stops the device: asks `isStopped` until it says so, and switches the bus master off.
    ///
    /// - Parameters:
    ///   - deadline: until when it must have stopped.
    ///   - isStopped: what the driver reads of the device that proves it. Called after the driver has told the device to stop; not called where the
    ///     device is proved dead.
    /// - Returns: the device, still or running. Where it runs, what is mapped for it belongs to the quarantine.
    public consuming func stop(until deadline: Deadline, _ isStopped: () -> Bool) -> StopOutcome {
        let core = core
        while !core.transport.isDead, !isStopped() {
            guard Deadline.now < deadline else {
                let error = core.notStopped
                return .running(self, error)
            }
            core.transport.pause(until: min(deadline, .after(milliseconds: 1)))
        }
        do throws(AccessError) {
            try core.stop()
            return .stopped(QuietDevice(core))
        } catch { return .running(self, error) }
    }
}

/// What came of stopping a device.
public enum StopOutcome: ~Copyable {
    /// It reaches no memory any more.
    case stopped(QuietDevice)
    /// It may still do so.
    case running(RunningDevice, AccessError)
}
