// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAIOATSpecification
internal import DMARegisters

/// Registers of the channels.
extension Chip {
    /// Which channel's registers are there, and where in them.
    private func channel(at offset: UInt64) -> (index: Int, offset: Int)? {
        guard let place = Int(exactly: offset), place < IOAT.registersCount else { return nil }
        let index = place / IOAT.channelStride - 1
        guard channels.indices.contains(index) else { return nil }
        return (index, place % IOAT.channelStride)
    }

    /// Half of a wide register, or all of it; nil for another width.
    private static func part(_ word: UInt64, _ place: Int, _ width: Int) -> UInt64? {
        switch (place, width) {
        case (0, 8), (0, 4): word
        case (4, 4): word >> 32
        default: nil
        }
    }

    private static func replace(_ word: inout UInt64, _ value: UInt64, _ place: Int, _ width: Int) -> Bool {
        switch (place, width) {
        case (0, 8): word = value
        case (0, 4): word = word & ~0xffff_ffff | value & 0xffff_ffff
        case (4, 4): word = word & 0xffff_ffff | value << 32
        default: return false
        }
        return true
    }

    func readChannel(_ offset: UInt64, _ width: Int) -> UInt64? {
        guard let (index, place) = channel(at: offset) else { return nil }
        let channel = channels[index]
        switch (place, width) {
        case (IOATChannel.control.offset, 2):
            var control = channel.control
            control[.rearms] = channel.isDisarmed
            return UInt64(control.word)
        case (IOATChannel.compatibility.offset, 2): return 2
        case (IOATChannel.command.offset, 1): return channel.isResetting ? UInt64(IOATChannelCommand.reset.word) : 0
        case (IOATChannel.count.offset, 2): return UInt64(channel.count)
        case (IOATChannel.errors.offset, 4): return UInt64(channel.errors.word)
        case (IOATChannel.errorMask.offset, 4): return UInt64(channel.errorMask.word)
        case (IOATChannel.cacheAccess.offset, 4): return UInt64(channel.cacheAccess)
        default: break
        }
        switch place & ~7 {
        case IOATChannel.status.offset: return Self.part(channel.status, place & 7, width)
        case IOATChannel.chainAddress.offset: return Self.part(channel.chain, place & 7, width)
        case IOATChannel.completionAddress.offset: return Self.part(channel.completionAddress, place & 7, width)
        case IOATChannel.currentDescriptor.offset: return Self.part(channel.current, place & 7, width)
        default: return nil
        }
    }

    /// Whether there is such a register.
    mutating func writeChannel(_ value: UInt64, _ offset: UInt64, _ width: Int, _ function: DeviceFunction) -> Bool {
        guard let (index, place) = channel(at: offset) else { return false }
        switch (place, width) {
        case (IOATChannel.control.offset, 2):
            let control = IOATChannelControl(word: UInt16(truncatingIfNeeded: value))
            if control.word != control.written { function.report("reserved bits of a channel's control register") }
            channels[index].control = IOATChannelControl(word: control.written)
            if control[.rearms] { rearm(index) }
        case (IOATChannel.command.offset, 1):
            command(IOATChannelCommand(word: UInt8(truncatingIfNeeded: value)), index, function)
        case (IOATChannel.count.offset, 2): count(UInt16(truncatingIfNeeded: value), index, function)
        case (IOATChannel.errors.offset, 4): channels[index].errors.word &= ~UInt32(truncatingIfNeeded: value)
        case (IOATChannel.errorMask.offset, 4): channels[index].errorMask.word = UInt32(truncatingIfNeeded: value)
        case (IOATChannel.cacheAccess.offset, 4): channels[index].cacheAccess = UInt32(truncatingIfNeeded: value)
        default: return wide(value, index, place, width, function)
        }
        return true
    }

    private mutating func wide(_ value: UInt64, _ index: Int, _ place: Int, _ width: Int, _ function: DeviceFunction) -> Bool {
        switch place & ~7 {
        case IOATChannel.chainAddress.offset:
            if channels[index].state == .active, channels[index].left > 0 {
                function.report("the chain's address was written while channel \(index) works")
            }
            guard Self.replace(&channels[index].chain, value, place & 7, width) else { return false }
            channels[index].startsChain = true
        case IOATChannel.completionAddress.offset:
            return Self.replace(&channels[index].completionAddress, value, place & 7, width)
        default: return false
        }
        return true
    }

    private mutating func command(_ command: IOATChannelCommand, _ index: Int, _ function: DeviceFunction) {
        if command.word & ~0x3c != 0 || command.word.nonzeroBitCount > 1 {
            function.report("the command 0x\(String(command.word, radix: 16)) of channel \(index)")
        }
        if command[.resets] {
            channels[index].isResetting = true
        } else if command[.aborts] {
            channels[index].isAborting = true
        } else if command[.suspends] {
            channels[index].isSuspending = true
        } else if command[.resumes], channels[index].state == .suspended {
            channels[index].state = channels[index].left > 0 ? .active : .idle
        }
    }

    /// The doorbell.
    private mutating func count(_ count: UInt16, _ index: Int, _ function: DeviceFunction) {
        guard channels[index].errors.word & ~channels[index].errorMask.word == 0 else {
            // A driver that extends a chain cannot know that it has just halted: one that begins a chain has to.
            if channels[index].startsChain { function.report("channel \(index) was started with errors that were not cleared") }
            return
        }
        if channels[index].startsChain {
            channels[index].startsChain = false
            channels[index].done = 0
            channels[index].completed = 0
            channels[index].current = channels[index].chain
            channels[index].count = count
            if channels[index].chain % UInt64(IOAT.descriptorCount) != 0 {
                function.report("a chain at 0x\(String(channels[index].chain, radix: 16)), no multiple of 64")
                channels[index].errors[.chainAddress] = true
                channels[index].state = .halted
                return
            }
            if channels[index].completionAddress % UInt64(IOAT.completionAlignment) != 0 {
                function.report("completions at 0x\(String(channels[index].completionAddress, radix: 16)), no multiple of 8")
                channels[index].errors[.completionAddress] = true
                channels[index].state = .halted
                return
            }
            channels[index].state = count == 0 ? .idle : .active
            return
        }
        switch channels[index].state {
        case .halted, .armed: return function.report("channel \(index) was started without a chain")
        case .suspended: channels[index].count = count
        case .active, .idle:
            channels[index].count = count
            if channels[index].left > 0 { channels[index].state = .active }
        }
    }
}
