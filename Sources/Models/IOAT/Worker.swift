// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// Works through descriptors.
struct Worker: Sendable {
    let capability: IOATCapability
    /// Bytes of the longest transfer.
    let largest: UInt64

    /// Why a channel halts.
    struct Halt: Error {
        var errors: IOATErrors
        init(_ field: Field<IOATErrors, Bool>) {
            errors = IOATErrors(word: 0)
            errors[field] = true
        }
    }

    // MARK: A channel

    /// Goes on with a channel by one descriptor: whether there is more to do.
    func work(on index: Int, of chip: inout Chip, _ function: DeviceFunction) -> Bool {
        if let (descriptor, second) = chip.channels[index].early {
            chip.channels[index].earlySteps -= 1
            if chip.channels[index].earlySteps > 0 { return true }
            chip.channels[index].early = nil
            // Its completion is written: what goes wrong here, no register says.
            _ = try? Mover(function: function, descriptor: descriptor, second: second).run()
        }
        if chip.channels[index].holdSteps > 0 {
            chip.channels[index].holdSteps -= 1
            return true
        }
        if chip.channels[index].isResetting, !chip.channels[index].isHeld {
            reset(&chip.channels[index])
            return false
        }
        if chip.channels[index].isStuck { return false }
        if !chip.channels[index].isHeld { obey(&chip.channels[index]) }
        guard chip.channels[index].state == .active, chip.channels[index].left > 0 else { return false }
        chip.descriptors &+= 1
        do throws(Halt) { try one(index, &chip, function) } catch { halt(index, error, &chip, function) }
        let channel = chip.channels[index]
        return channel.state == .active && channel.left > 0 && !channel.isStuck || channel.isResetting || channel.early != nil
    }

    private func reset(_ channel: inout Chip.Channel) {
        var fresh = Chip.Channel()
        fresh.control = channel.control
        fresh.errorMask = channel.errorMask
        fresh.cacheAccess = channel.cacheAccess
        fresh.oldCompletionAddress = channel.completionAddress
        fresh.lateSteps = channel.lateSteps
        channel = fresh
    }

    private func obey(_ channel: inout Chip.Channel) {
        if channel.isAborting {
            channel.isAborting = false
            channel.isSuspending = false
            if channel.state != .halted {
                channel.state = .halted
                channel.count = channel.done
            }
        }
        if channel.isSuspending {
            channel.isSuspending = false
            if channel.state == .active || channel.state == .idle { channel.state = .suspended }
        }
    }

    /// What an error does: the completion names the descriptor before the one that failed.
    private func halt(_ index: Int, _ halt: Halt, _ chip: inout Chip, _ function: DeviceFunction) {
        chip.channels[index].errors.word |= halt.errors.word
        chip.channels[index].state = .halted
        chip.channels[index].isHeld = false
        let control = chip.channels[index].control
        if control[.errorCompletes], !halt.errors[.completionAddress] {
            let word = chip.channels[index].status
            // That it cannot be written either changes nothing: the channel has halted.
            if (try? function.store(word, at: IOVA(chip.channels[index].completionAddress))) != nil { chip.completions &+= 1 }
        }
        if control[.errorInterrupts] { chip.interrupt(index) }
    }

    // MARK: A descriptor

    private func fetch(_ address: UInt64, _ function: DeviceFunction) throws(Halt) -> IOATDescriptor {
        guard address % UInt64(IOAT.descriptorCount) == 0 else {
            function.report("a descriptor at 0x\(String(address, radix: 16)), no multiple of 64")
            throw Halt(.descriptorAlignment)
        }
        var bytes = [UInt8](repeating: 0, count: IOAT.descriptorCount)
        do throws(DMAError) {
            var span = bytes.mutableSpan
            // SAFETY: every pattern of bits is a byte.
            var raw = unsafe span.mutableBytes
            try function.read(IOVA(address), into: &raw)
        } catch {
            function.report("a descriptor at 0x\(String(address, radix: 16)): \(error.code.rawValue)")
            throw Halt(.nextAddress)
        }
        var descriptor = IOATDescriptor()
        for word in 0..<8 {
            descriptor[word] = (0..<8).reduce(0) { $0 | UInt64(bytes[8 * word + $1]) << UInt64(8 * $1) }
        }
        return descriptor
    }

    private func check(_ descriptor: IOATDescriptor, _ function: DeviceFunction) throws(Halt) -> IOATOperation {
        let control = descriptor.control
        func wrong(_ text: String) -> Halt {
            function.report("a descriptor with \(text): control 0x\(String(control.word, radix: 16))")
            return Halt(.descriptorControl)
        }
        guard let operation = control[.operation] as IOATOperation? else { throw wrong("an operation that there is not") }
        let isOffered =
            switch operation {
            case .copy: true
            case .fill: capability[.fill]
            case .xor, .xorValidate: capability[.xor]
            case .pq, .pqValidate: capability[.pq]
            case .pqUpdate: false
            }
        guard isOffered else { throw wrong("an operation that this version does not have") }
        guard control.word & operation.reservedControl == 0 else { throw wrong("reserved bits") }
        if operation.isParity {
            guard control.sources <= IOAT.mostSources else { throw wrong("\(control.sources) sources") }
            let isPQ = operation == .pq || operation == .pqValidate
            guard !isPQ || !control[.disablesP] || !control[.disablesQ] else { throw wrong("neither P nor Q") }
        }
        guard descriptor.size > 0, UInt64(descriptor.size) <= largest else {
            function.report("a descriptor of \(descriptor.size) bytes; 1 to \(largest) are possible")
            throw Halt(.length)
        }
        return operation
    }

    private func one(_ index: Int, _ chip: inout Chip, _ function: DeviceFunction) throws(Halt) {
        let address = chip.channels[index].current
        let descriptor = try fetch(address, function)
        let operation = try check(descriptor, function)
        let control = descriptor.control
        let isNull = operation == .copy && control[.isNull]
        var second = IOATDescriptor()
        var taken: UInt16 = 1
        var next = descriptor.next
        if operation.isParity, control.sources > operation.ownSources {
            guard chip.channels[index].left > 1 else {
                function.report("the count of channel \(index) ends before an extension descriptor")
                throw Halt(.count)
            }
            second = try fetch(descriptor.next, function)
            taken = 2
            next = second.next
        }
        var fault: IOATFault?
        if !isNull, !chip.channels[index].isHeld { fault = chip.takeFault(index) }
        if chip.channels[index].isHeld { chip.channels[index].isHeld = false }
        if try before(fault, index, &chip, function) { return }
        if !isNull, fault != .earlyCompletion {
            let result = try Mover(
                function: function, descriptor: descriptor, second: second, wildSource: fault == .wildSource,
                wildDestination: fault == .wildDestination, short: fault == .oneByteShort
            ).run()
            let open = result.word & ~chip.channels[index].errorMask.word
            if open != 0 {
                var halt = Halt(.p)
                halt.errors = IOATErrors(word: open)
                throw halt
            }
            chip.channels[index].errors.word |= result.word
        }
        if fault == .earlyCompletion {
            chip.channels[index].early = (descriptor, second)
            chip.channels[index].earlySteps = 8
        }
        chip.channels[index].completed = address
        chip.channels[index].done &+= taken
        chip.channels[index].current = next
        if chip.channels[index].left == 0 { chip.channels[index].state = .idle }
        if fault == .wrongStatus { chip.channels[index].hasWrongState = true }
        if control[.writesCompletion] { try writeBack(fault, index, &chip, function) }
        if control[.interrupts] { raise(fault, index, &chip) }
    }

    /// What a fault does instead of the descriptor: whether that was all.
    private func before(
        _ fault: IOATFault?, _ index: Int, _ chip: inout Chip, _ function: DeviceFunction
    ) throws(Halt) -> Bool {
        switch fault {
        case .stuck: chip.channels[index].isStuck = true
        case .unplugged: function.remove()
        case .delayedStop:
            chip.channels[index].holdSteps = chip.plan?.steps ?? 60
            chip.channels[index].isHeld = true
        case .spuriousHalt:
            var halt = Halt(.p)
            halt.errors = IOATErrors(word: 0)
            throw halt
        case .allOnes:
            chip.answersAllOnes = .max
            chip.channels[index].isStuck = true
        case .allOnesForAWhile:
            chip.answersAllOnes = 5
            return false
        default: return false
        }
        return true
    }

    private func writeBack(
        _ fault: IOATFault?, _ index: Int, _ chip: inout Chip, _ function: DeviceFunction
    ) throws(Halt) {
        var address = chip.channels[index].completionAddress
        var word = chip.channels[index].status
        switch fault {
        case .noCompletion: return
        case .oldCompletion:
            address = chip.channels[index].oldCompletionAddress
            guard address != 0 else { return }
            // What was mapped there may be mapped no more.
            _ = try? function.store(word, at: IOVA(address))
            return
        case .garbageCompletion: word = 0xdead_beef_0000_1240 | word & 7
        default: break
        }
        do throws(DMAError) {
            try function.store(word, at: IOVA(address))
            chip.completions &+= 1
        } catch {
            function.report("a completion at 0x\(String(address, radix: 16)): \(error.code.rawValue)")
            throw Halt(.completionAddress)
        }
    }

    private func raise(_ fault: IOATFault?, _ index: Int, _ chip: inout Chip) {
        switch fault {
        case .lostInterrupt: break
        case .lateInterrupt: chip.channels[index].lateSteps = chip.plan?.steps ?? 60
        case .duplicateInterrupt:
            chip.interrupt(index)
            if chip.isAsserted { chip.rises += 1 }
        default: chip.interrupt(index)
        }
    }
}

extension Chip {
    /// The fault of this descriptor, if it is to have one.
    mutating func takeFault(_ index: Int) -> IOATFault? {
        guard let plan, plan.times > 0, plan.channel == nil || plan.channel == index else { return nil }
        guard plan.before == 0 else {
            self.plan?.before -= 1
            return nil
        }
        self.plan?.times -= 1
        return plan.fault
    }
}
