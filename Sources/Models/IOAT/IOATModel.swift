// SPDX-License-Identifier: Apache-2.0

public import DMADeviceSide
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// An Intel I/OAT of version 3.3, with switches for what a device may do wrong.
///
/// What Linux's ioatdma and SPDK rely on is done as they expect it: the completion of an error names the descriptor before the failed one; a descriptor
/// with an extension is named by its own address, and counts twice; a new chain begins with a completed address of 0. What a driver must not do is
/// reported, and answered by the error that the register has for it.
///
/// Time passes by steps: a channel executes up to ``burst`` descriptors in each, and each step counts as one microsecond of the interrupt delay.
///
/// Thread rules: from any thread.
public final class IOATModel: DeviceModel {
    /// Which chip.
    public enum Kind: Sendable, CaseIterable {
        /// 8086:6f50: copies and fills; Linux leaves parity alone there.
        case broadwellDE
        /// 8086:0c50: XOR and PQ as well.
        case atom
    }

    private let state: Locked<Chip>
    private let function = Locked<DeviceFunction?>(nil)
    private let worker: Worker
    private let transferBits: UInt8
    private let capability: IOATCapability
    private let version: UInt8

    public let description: FunctionDescription
    /// Descriptors that a channel does in one step.
    public let burst: Int

    /// - Parameters:
    ///   - kind: the chip.
    ///   - channels: 1 to 31.
    ///   - transferBits: the longest transfer of a descriptor as a power of two: 12 to 31.
    ///   - burst: descriptors that a channel does in one step, at least 1.
    ///   - hasFill: whether it fills blocks.
    ///   - hasMessages: whether it has MSI beside INTx.
    ///   - version: of the interface: 0x32 or 0x33.
    public init(
        _ kind: Kind = .atom, channels: Int = 1, transferBits: Int = 20, burst: Int = 4, hasFill: Bool = true,
        hasMessages: Bool = true, version: UInt8 = 0x33
    ) {
        let bits = UInt8(min(max(transferBits, Int(IOAT.leastTransferBits)), 31))
        var capability = IOATCapability(word: 0)
        capability[.fill] = hasFill
        capability[.xor] = kind == .atom
        capability[.pq] = kind == .atom
        self.transferBits = bits
        self.capability = capability
        self.version = version
        self.burst = max(burst, 1)
        worker = Worker(capability: capability, largest: 1 << UInt64(bits))
        state = Locked(Chip(channels: min(max(channels, 1), IOAT.mostChannels)))
        var description = FunctionDescription(vendor: IOAT.vendor, device: kind == .atom ? IOAT.atom : IOAT.broadwellDE)
        description.classCode = IOAT.classCode
        description.regions = [.init(IOAT.registers, count: UInt64(IOAT.registersCount), isWide: true)]
        description.msiVectors = hasMessages ? 1 : 0
        description.hasINTx = true
        description.hasFunctionReset = true
        self.description = description
    }

    public func attach(_ function: DeviceFunction) { self.function.withLock { $0 = function } }

    /// Makes a fault happen at one of the next descriptors that move bytes.
    ///
    /// - Parameters:
    ///   - fault: nil for none any more; registers then answer again.
    ///   - descriptors: descriptors that go well before.
    ///   - times: how often.
    ///   - channel: of which channel; nil for any.
    ///   - steps: how long ``IOATFault/delayedStop`` takes, and ``IOATFault/lateInterrupt``.
    public func set(_ fault: IOATFault?, after descriptors: Int = 0, times: Int = 1, channel: Int? = nil, steps: Int = 60) {
        state.withLock { chip in
            chip.plan = fault.map {
                Chip.Plan(fault: $0, before: max(descriptors, 0), times: max(times, 0), channel: channel, steps: max(steps, 1))
            }
            if fault == nil { chip.answersAllOnes = 0 }
        }
    }

    /// Descriptors that were worked on, extensions not counted.
    public var descriptors: UInt64 { state.withLock { $0.descriptors } }
    /// Completions that were written.
    public var completions: UInt64 { state.withLock { $0.completions } }

    public func reset() {
        state.withLock { $0.reset() }
        function.withLock { $0 }?.setINTx(false)
    }

    public func step() -> Bool {
        guard let function = function.withLock({ $0 }) else { return false }
        let isBusy = state.withLock { chip in
            var isBusy = chip.tick()
            for index in chip.channels.indices {
                for _ in 0..<burst {
                    guard worker.work(on: index, of: &chip, function) else { break }
                    isBusy = true
                }
            }
            return isBusy
        }
        announce(function)
        return isBusy
    }

    /// Tells the bus what has become of the interrupt.
    private func announce(_ function: DeviceFunction) {
        let (rises, level) = state.withLock { chip in
            defer { chip.rises = 0 }
            return (chip.rises, chip.isAsserted)
        }
        if function.usesMessages {
            for _ in 0..<rises { function.fire(0) }
        } else {
            // A level that has fallen and risen meanwhile is an edge of its own.
            if rises > 0 { function.setINTx(false) }
            function.setINTx(level)
        }
    }

    // MARK: Registers

    private static func allOnes(_ width: Int) -> UInt64 { .max >> UInt64(64 - 8 * min(max(width, 1), 8)) }

    public func read(_ region: Int, _ offset: UInt64, _ width: Int) -> UInt64 {
        guard region == IOAT.registers, let function = function.withLock({ $0 }) else { return Self.allOnes(width) }
        let value = state.withLock { chip -> UInt64 in
            if chip.answersAllOnes > 0 {
                if chip.answersAllOnes != .max { chip.answersAllOnes -= 1 }
                return .max
            }
            return readGlobal(offset, width, &chip) ?? chip.readChannel(offset, width) ?? .max
        }
        announce(function)
        return value & Self.allOnes(width)
    }

    private func readGlobal(_ offset: UInt64, _ width: Int, _ chip: inout Chip) -> UInt64? {
        switch (Int(truncatingIfNeeded: offset), width) {
        case (IOAT.channelCount.offset, 1): return UInt64(chip.channels.count)
        case (IOAT.transferCapacity.offset, 1): return UInt64(transferBits)
        case (IOAT.generalControl.offset, 1): return UInt64(chip.generalControl)
        case (IOAT.interruptControl.offset, 1):
            var control = chip.interruptControl
            control[.status] = chip.attention != 0
            control[.isAsserted] = chip.attention != 0 && control[.isEnabled]
            chip.interruptControl[.isEnabled] = false
            chip.judge()
            return UInt64(control.word)
        case (IOAT.attention.offset, 4):
            let attention = chip.attention
            chip.attention = 0
            chip.judge()
            return UInt64(attention)
        case (IOAT.version.offset, 1): return UInt64(version)
        case (IOAT.interruptDelay.offset, 2):
            var delay = IOATInterruptDelay(word: chip.delay)
            delay[.isSupported] = true
            return UInt64(delay.word)
        case (IOAT.capability.offset, 4): return UInt64(capability.word)
        case (IOAT.portOffset.offset, 2), (IOAT.deviceStatus.offset, 2), (IOAT.cacheAccessOffset.offset, 2): return 0
        default: return nil
        }
    }

    public func write(_ value: UInt64, _ region: Int, _ offset: UInt64, _ width: Int) {
        guard region == IOAT.registers, let function = function.withLock({ $0 }) else { return }
        let isKnown = state.withLock { chip -> Bool in
            if chip.answersAllOnes > 0 { return true }
            return writeGlobal(value, offset, width, &chip) || chip.writeChannel(value, offset, width, function)
        }
        if !isKnown {
            function.report("a write of \(width) bytes at 0x\(String(offset, radix: 16)), where no such register is")
        }
        announce(function)
    }

    private func writeGlobal(_ value: UInt64, _ offset: UInt64, _ width: Int, _ chip: inout Chip) -> Bool {
        switch (Int(truncatingIfNeeded: offset), width) {
        case (IOAT.generalControl.offset, 1): chip.generalControl = UInt8(truncatingIfNeeded: value)
        case (IOAT.interruptControl.offset, 1):
            // Status bits are read only.
            chip.interruptControl = IOATInterruptControl(word: UInt8(truncatingIfNeeded: value) & 0x09)
            chip.judge()
        case (IOAT.interruptDelay.offset, 2):
            chip.delay = IOATInterruptDelay(word: UInt16(truncatingIfNeeded: value))[.microseconds]
        default: return false
        }
        return true
    }
}
