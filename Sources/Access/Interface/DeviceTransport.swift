// SPDX-License-Identifier: Apache-2.0

public import DMACore
public import DMATypes

/// Access to one device by one means: the kernel's VFIO, a vfio-user peer, QEMU behind qtest, a model in this process.
///
/// A transport delivers register accesses, mappings and interrupts, and does not depend on the kind of device. ``QuietDevice`` and
/// ``RunningDevice`` implement the order of opening and closing once for all transports.
///
/// No call traps, whatever the device, the peer or the kernel answers; every wait has a limit.
///
/// Thread rules: called from any thread.
public protocol DeviceTransport: AnyObject, Sendable {
    /// A name for messages: "qtest q35 00:05.0".
    var name: String { get }

    /// The address space of its bus addresses. Constant.
    var space: AddressSpace { get }

    /// Why the device no longer answers: it was removed, or its peer has ended. Nil while it answers; once set, it stays set.
    var goneReason: String? { get }

    /// Whether the device is known to access no memory any more, whatever its state: for example, its peer's process has ended.
    var isDead: Bool { get }

    // MARK: Opening

    /// Claims the device for one owner, and makes it accessible.
    ///
    /// - Throws: `busy` where it has an owner; `absent`; `refused`.
    func claim() throws(AccessError)

    /// Ends what ``claim()`` began. Called once for each successful one.
    func release()

    /// Resets the device to its power-up state, as far as the transport can. Its registers and configuration space may read as all ones for a
    /// while afterwards.
    ///
    /// - Returns: how; ``ResetMethod/none`` where there is no way to.
    /// - Throws: `refused`, `gone`.
    func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod

    // MARK: Configuration space

    /// Bytes of the configuration space: 256 or 4096.
    var configurationCount: Int { get }
    /// One read at a multiple of its width (1, 2 or 4 bytes), inside the space. All ones where the device does not answer.
    func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32
    /// One write at a multiple of its width, done when this returns.
    func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth)

    // MARK: Registers

    /// The ranges of the device's registers. Asked after ``claim()`` and ``reset(by:)``.
    ///
    /// - Throws: `badConfiguration`.
    func regions() throws(AccessError) -> [DeviceRegion]

    // MARK: Interrupts

    /// How many vectors of a kind the device can be given.
    func interruptCount(_ kind: InterruptKind) -> Int

    /// Switches interrupts on.
    ///
    /// - Parameter handler: called for each interrupt; from a thread of the way's where ``deliversInterrupts``, otherwise by ``look()`` alone. Never inside
    ///   of an access of the driver's. After ``disableInterrupts()`` has returned it is not called any more, unless that was called by it.
    /// - Throws: `noInterrupts`; `refused`.
    func enableInterrupts(_ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler) throws(AccessError)

    /// Tells the device again, after a reset, what ``enableInterrupts(_:count:_:)`` has told it. The handler stays. Nothing where none are on.
    ///
    /// - Throws: `refused`, `badConfiguration`.
    func rearmInterrupts() throws(AccessError)

    /// Switches them off. What arrives later is dropped.
    ///
    /// - Throws: `refused`; they are off all the same, as far as the driver is concerned.
    func disableInterrupts() throws(AccessError)

    /// Whether interrupts are handed over by themselves. Where not, ``look()`` does, and a task that waits for one alone would wait for ever.
    var deliversInterrupts: Bool { get }

    /// Looks for interrupts that have arrived, and hands them over, where nothing else does.
    func look()

    /// Lets time pass while nothing is to be done, until `deadline` or less: a step of a model, or a sleep.
    func pause(until deadline: Deadline)
}

/// Why a driver's handler is called.
public enum InterruptCause: Hashable, Sendable {
    /// A vector has fired: once at least since the last call.
    case vector(Int)
    /// Nothing has. Called now and then while interrupts are on, so that one that got lost costs time and not a hang.
    case tick
}

/// What a driver does at an interrupt. It must not wait.
public typealias InterruptHandler = @Sendable (InterruptCause) -> Void

/// How a device was reset.
public enum ResetMethod: Sendable, Equatable {
    /// The function alone (FLR).
    case function
    /// By way of the power state D3hot.
    case power
    /// All functions behind its bridge.
    case bus
    /// The peer, the model or the kernel has done it by its own means.
    case transport
    /// Not at all: the device offers no way. A driver that relies on a reset must refuse it.
    case none
}

/// A kind of interrupt.
public enum InterruptKind: Sendable, Equatable, CaseIterable {
    /// A line, which is shared and has a level.
    case intx
    /// MSI: the configuration space holds the message's address.
    case msi
    /// MSI-X: a table in a base address region holds each message's address.
    case msix
}

/// A range of a device's registers.
public struct DeviceRegion: Sendable {
    /// The number of its base address register.
    public let index: Int
    /// Bytes.
    public let count: UInt64
    /// Whether these are I/O ports.
    public let isPorts: Bool
    /// How it is reached.
    public let path: any RegisterPath
    /// Whether the way has no accesses of 64 bits.
    public let splitsWide: Bool

    /// A range that is reached by messages.
    public init(index: Int, count: UInt64, isPorts: Bool = false, path: any RegisterPath, splitsWide: Bool = false) {
        self.index = index
        self.count = count
        self.isPorts = isPorts
        self.path = path
        self.splitsWide = splitsWide
    }
}
