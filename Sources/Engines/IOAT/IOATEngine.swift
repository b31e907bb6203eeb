// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
public import DMACore
public import DMADriverKit
public import DMAEngineKit
public import DMAIOATSpecification
public import DMARegisters
internal import DMATypes

extension IOATDescriptor: SharedPattern {
    // SAFETY: eight words of 64 bits, without padding: every pattern is a value.
    @inlinable public static var bitValidity: EveryPattern<IOATDescriptor> { unsafe EveryPattern() }
}

/// A channel of an Intel I/OAT: copies, fills, XOR, P and Q, and their validations, through a ring of linked descriptors that grows while it runs.
///
/// **The fast path.** A copy that fits one descriptor is three words of the ring; ``issuePending()`` is one write of the count; a completion is found by
/// one read of 64 bits from memory, which the channel writes. Nothing of that allocates, counts references, takes a lock or reads a register.
///
/// **Faults.** A channel that halts, makes no progress, or shows nonsense is reset, and where that does not help the whole device. The transaction
/// that it failed at ends as failed, and ``lastFailure`` says why, with the channel's registers. What may have run is never repeated; what lies behind it
/// runs. A channel that cannot be brought back is gone. A poll that finds such a fault takes as long as the restart:
/// `IOATConfiguration.restartLimit` for the channel, and as long again for the device.
///
/// Source: Linux, drivers/dma/ioat/dma.c, prep.c; SPDK, lib/ioat/ioat.c.
@safe
public struct IOATEngine: ~Copyable, Engine {
    public typealias Settings = IOATSettings

    @inlinable public static var order: CompletionOrder { .inOrder }

    /// What takes the calls off the fast path.
    @usableFromInline
    struct Detour: OptionSet {
        @usableFromInline let rawValue: UInt8
        @inlinable init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The channel has no chain yet, or was reset.
        @inlinable static var fresh: Self { Self(rawValue: 1) }
        @inlinable static var paused: Self { Self(rawValue: 2) }
        @inlinable static var terminated: Self { Self(rawValue: 4) }
        /// It cannot be brought back.
        @inlinable static var lost: Self { Self(rawValue: 8) }
        /// Nothing hands interrupts over, and the device's time may pass by looks alone: each poll is one.
        @inlinable static var stepped: Self { Self(rawValue: 16) }
        /// Something is to be dealt with when all that is done was reported.
        @inlinable static var trouble: Self { Self(rawValue: 32) }
    }

    @usableFromInline var ring: RingMemory<IOATDescriptor>
    /// The word that the channel writes, in a cache line of its own.
    @usableFromInline var completion: RingMemory<UInt64>
    @usableFromInline let registers: RegisterWindow
    // SAFETY: this engine's own, as long as the ring, initialized when it is made and freed when it ends; every index is taken modulo that length.
    @usableFromInline let slots: UnsafeMutablePointer<IOATSlot>
    @usableFromInline let mask: UInt32
    // Descriptors in use at most. Two stay free: the device goes on naming the descriptor that it completed last, which may have an extension, after both
    // were reported. It must be none of those that wait.
    @usableFromInline let most: UInt32
    /// Bus address of the ring.
    @usableFromInline let start: UInt64
    /// Bytes of the longest transfer of a descriptor.
    @usableFromInline let largest: UInt64
    // Positions count without end. Those before `head` are reported, before `done` completed, before `issued` started, before `tail` written. The first
    // was that of the start.
    @usableFromInline var head: UInt32 = 1
    @usableFromInline var done: UInt32 = 1
    @usableFromInline var issued: UInt32 = 1
    @usableFromInline var tail: UInt32 = 1
    /// Where the chain began that the channel counts from.
    @usableFromInline var chainStart: UInt32 = 0
    /// The completion that was looked at last.
    @usableFromInline var seen: UInt64
    /// Polls that found nothing, since the last that did.
    @usableFromInline var idlePolls: UInt32 = 0
    @usableFromInline var detours: Detour
    @usableFromInline var cold: IOATColdState

    @inlinable public var addressing: EngineAddressing { cold.addressing }

    /// Opens a device, and takes its first channel.
    ///
    /// - Throws: as `IOATDevice.init(opening:_:)` and ``init(_:channel:)``.
    public init(opening transport: any DeviceTransport, _ configuration: IOATConfiguration = IOATConfiguration())
        throws(AccessError)
    {
        try self.init(IOATDevice(opening: transport, configuration))
    }

    /// Takes a channel of an open device.
    ///
    /// - Throws: `noWindow` for a channel that there is not; `busy` for one that has an engine; `refused` where there is no memory for the ring;
    ///   `notReady` where it does not work.
    public init(_ device: IOATDevice, channel: Int = 0) throws(AccessError) {
        try self.init(device, channel: channel, through: device.take(channel))
    }

    /// The same through registers of another place: for a device that is scripted in memory.
    package init(_ device: IOATDevice, channel: Int, through registers: consuming RegisterWindow) throws(AccessError) {
        let count = device.configuration.ringCount
        var ring: RingMemory<IOATDescriptor> = try Self.memory(device, channel, count: count)
        var completion: RingMemory<UInt64> = try Self.memory(device, channel, count: 8)
        seen = try Self.begin(device, channel, registers, &ring, &completion)
        start = ring.address(of: 0).rawValue
        self.ring = ring
        self.completion = completion
        self.registers = registers
        // SAFETY: see `slots`.
        unsafe slots = .allocate(capacity: count)
        unsafe slots.initialize(repeating: IOATSlot(tag: 0, shape: IOATSlot.single, count: 0), count: count)
        mask = UInt32(count - 1)
        most = UInt32(count - 2)
        largest = 1 << UInt64(device.transferBits)
        detours = device.hasInterrupts || device.transport.deliversInterrupts ? [] : .stepped
        cold = IOATColdState(device, channel: channel, capabilities: Self.capabilities(device, ring: count))
    }

    private static func memory<T: SharedPattern>(
        _ device: IOATDevice, _ channel: Int, count: Int
    ) throws(AccessError) -> RingMemory<T> {
        do throws(DMAError) {
            let bytes = count * MemoryLayout<T>.stride
            return try RingMemory(CoherentBuffer(count: bytes, alignment: 4096, domain: device.domain), count: count)
        } catch {
            device.giveBack(channel)
            throw AccessError(error, device: device.transport.name, "making the ring of a channel")
        }
    }

    deinit {
        // An engine that its channel has stopped stands still. One that is dropped is stopped here: its ring ends with it.
        if !cold.isOff, !cold.device.isGone, !Self.reset(registers, cold.device, by: .after(milliseconds: 200)) {
            _ = cold.device.switchOff()
        }
        cold.device.giveBack(cold.channel)
        // SAFETY: see `slots`.
        unsafe slots.deallocate()
    }

    // MARK: The fast path

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // A copy of one descriptor, with no flags but fence and interrupt.
        guard descriptor.kind == .copy, descriptor.flags.rawValue & ~3 == 0, descriptor.count &- 1 < largest,
            tail &- head < most, detours.isDisjoint(with: [.terminated, .lost])
        else { return unsafe enqueueSlowly(descriptor, tag: tag) }
        let flags = UInt64(descriptor.flags.rawValue)
        // Bit 0 interrupts, bit 3 writes the completion, bit 4 is the fence.
        let control = flags >> 1 | (flags & 1) << 4 | 8
        let place = Int(truncatingIfNeeded: tail)
        ring.publish(control << 32 | descriptor.count, at: place, word: 0)
        ring.publish(descriptor.source, at: place, word: 1)
        ring.publish(descriptor.destination, at: place, word: 2)
        // SAFETY: see `slots`.
        unsafe slots[Int(tail & mask)] = IOATSlot(tag: tag, shape: IOATSlot.single, count: descriptor.count)
        tail &+= 1
        return .accepted
    }

    @inlinable @inline(__always)
    public mutating func issuePending() {
        guard issued != tail else { return }
        guard detours.isDisjoint(with: [.fresh, .paused, .terminated, .lost]) else { return issueSlowly() }
        issued = tail
        registers.write(UInt16(truncatingIfNeeded: tail &- chainStart), to: IOATChannel.count)
    }

    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        if done == head, !lookAtCompletion() { return idle() }
        // SAFETY: see `slots`.
        let slot = unsafe slots[Int(head & mask)]
        guard slot.shape == IOATSlot.single else { return nextSlowly() }
        head &+= 1
        return Completion(tag: slot.tag)
    }

    /// Reads the completion's word: whether more is done than before.
    @inlinable @inline(__always)
    mutating func lookAtCompletion() -> Bool {
        guard let word = completion.word(0, at: 0, as: UInt64.self), word != seen else { return false }
        // Active or idle, and inside the ring, at one of the descriptors that run.
        let offset = (word & ~0x3f) &- start
        let ahead = (UInt32(truncatingIfNeeded: offset >> 6) &- head) & mask
        guard word & 7 < 2, offset >> 6 <= UInt64(mask), ahead < issued &- head else { return lookSlowly(word) }
        seen = word
        done = head &+ ahead &+ 1
        idlePolls = 0
        return true
    }

    /// Nothing is done.
    @inlinable @inline(__always)
    mutating func idle() -> Completion? {
        idlePolls &+= 1
        guard idlePolls & 63 == 0 || detours.rawValue != 0 else { return nil }
        return idleSlowly()
    }

    // MARK: Beside it

    public var capabilities: Capabilities { cold.capabilities }
    /// The address space that memory is mapped for.
    public var domain: Domain { cold.device.domain }
    public var interruptLine: InterruptLine? { cold.device.hasInterrupts ? cold.line : nil }
    public var isGone: Bool { detours.contains(.lost) || cold.device.isGone }
    /// Why a transaction has failed last.
    public var lastFailure: IOATFailure? { cold.lastFailure }

    public mutating func apply(_ settings: IOATSettings) throws(DMAError) {
        guard settings.interruptDelay >= 0, settings.interruptDelay <= Int(IOATInterruptDelay.longest) else {
            throw DMAError(
                .badConfiguration, asked: UInt64(bitPattern: Int64(settings.interruptDelay)),
                limit: UInt64(IOATInterruptDelay.longest))
        }
        try cold.device.setDelay(UInt16(settings.interruptDelay))
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        while true {
            let before = cold.line.count
            if isReady() { return true }
            guard Deadline.now < deadline else { return false }
            if cold.device.hasInterrupts {
                // A slice, so that an interrupt that got lost costs no more than that.
                _ = cold.line.wait(after: before, until: min(deadline, .after(milliseconds: 50)))
            } else {
                cold.device.look()
                cold.device.transport.pause(until: min(deadline, .after(milliseconds: 1)))
            }
        }
    }

    public var figures: [EngineFigure] {
        let interrupts = cold.device.handler.figures
        return [
            EngineFigure("interrupts", interrupts.interrupts), EngineFigure("strayInterrupts", interrupts.stray),
            EngineFigure("failures", cold.failures), EngineFigure("channelResets", cold.channelResets),
            EngineFigure("deviceResets", cold.deviceResets), EngineFigure("strayCompletions", cold.strayCompletions),
        ]
    }
}
