// SPDX-License-Identifier: Apache-2.0

public import DMADeviceSide
internal import DMAEDUSpecification
internal import DMARegisters
internal import DMATypes

/// An EDU, as its specification has it, with switches for what a device may do wrong.
///
/// Where QEMU's own device goes further than the specification (it ends the emulator for a transfer outside of its buffer), this one reports what the
/// driver did, and moves nothing.
///
/// Thread rules: from any thread.
public final class EDUModel: DeviceModel {
    private struct State {
        var liveness: UInt32 = 0
        var factorial: UInt32 = 0
        var status = EDUStatus(word: 0)
        var interrupts = EDUInterrupts(word: 0)
        var source: UInt64 = 0
        var destination: UInt64 = 0
        var count: UInt64 = 0
        var command = EDUCommand(word: 0)
        var buffer = [UInt8](repeating: 0, count: Int(EDU.bufferCount))
        /// Steps until the transfer, and until an interrupt that is late; 0 where there is none.
        var stepsLeft = 0
        var lateSteps = 0
        var isStuck = false
        /// The end was shown already.
        var wasEarly = false
        var garbage: UInt64 = 0
        var answersAllOnes: Int = 0
        // Switches, which a reset leaves alone.
        var fault: EDUFault?
        var faultsLeft = 0
        var transfersBefore = 0
        var transfers: UInt64 = 0
        let addressMask: UInt64

        init(addressMask: UInt64) { self.addressMask = addressMask }
        var isBusy: Bool { stepsLeft > 0 && !isStuck || lateSteps > 0 }
    }

    private let delay: Int
    private let state: Locked<State>
    /// Held while a transfer is under way, which may take as long as the client takes to answer.
    private let moving = Locked(())
    private let function = Locked<DeviceFunction?>(nil)

    public let description: FunctionDescription

    /// - Parameters:
    ///   - addressBits: address lines; QEMU's `dma_mask`.
    ///   - delay: steps that a transfer takes, at least 1.
    ///   - hasMessages: whether it has MSI beside INTx.
    public init(addressBits: Int = 28, delay: Int = 3, hasMessages: Bool = true) {
        state = Locked(State(addressMask: DMAMask(bits: addressBits).rawValue))
        self.delay = max(delay, 1)
        var description = FunctionDescription(vendor: EDU.vendor, device: EDU.device)
        description.revision = 0x10
        description.classCode = 0x00ff00
        description.regions = [.init(EDU.registers, count: UInt64(EDU.registersCount))]
        description.msiVectors = hasMessages ? 1 : 0
        description.hasINTx = true
        self.description = description
    }

    public func attach(_ function: DeviceFunction) { self.function.withLock { $0 = function } }

    /// Makes a fault happen at one of the next transfers.
    ///
    /// - Parameters:
    ///   - fault: nil for none any more.
    ///   - transfers: transfers that go well before.
    ///   - times: how often.
    public func set(_ fault: EDUFault?, after transfers: Int = 0, times: Int = 1) {
        state.withLock { state in
            state.fault = fault
            state.transfersBefore = max(transfers, 0)
            state.faultsLeft = max(times, 0)
        }
    }

    /// Transfers that were done, or should have been.
    public var transfers: UInt64 { state.withLock { $0.transfers } }

    public func reset() {
        moving.withLock { _ in resetState() }
        function.withLock { $0 }?.setINTx(false)
    }

    private func resetState() {
        state.withLock { state in
            var fresh = State(addressMask: state.addressMask)
            fresh.fault = state.fault
            fresh.faultsLeft = state.faultsLeft
            fresh.transfersBefore = state.transfersBefore
            fresh.transfers = state.transfers
            state = fresh
        }
    }

    // MARK: Registers

    private static func allOnes(_ width: Int) -> UInt64 { .max >> UInt64(64 - 8 * min(max(width, 1), 8)) }

    public func read(_ region: Int, _ offset: UInt64, _ width: Int) -> UInt64 {
        guard region == EDU.registers, width == 4 || width == 8 && offset >= 0x80 else { return Self.allOnes(width) }
        return state.withLock { state in
            if state.answersAllOnes > 0 {
                if state.answersAllOnes != .max { state.answersAllOnes -= 1 }
                return Self.allOnes(width)
            }
            return switch offset {
            case UInt64(EDU.identification.offset): 0x0100_00ed
            case UInt64(EDU.liveness.offset): UInt64(state.liveness)
            case UInt64(EDU.factorial.offset): UInt64(state.factorial)
            case UInt64(EDU.status.offset): UInt64(state.status.word)
            case UInt64(EDU.interruptStatus.offset): UInt64(state.interrupts.word)
            case UInt64(EDU.source.offset): state.source & Self.allOnes(width)
            case UInt64(EDU.destination.offset): state.destination & Self.allOnes(width)
            case UInt64(EDU.count.offset): state.count & Self.allOnes(width)
            case UInt64(EDU.command.offset): (state.command.word ^ state.garbage) & Self.allOnes(width)
            default: Self.allOnes(width)
            }
        }
    }

    public func write(_ value: UInt64, _ region: Int, _ offset: UInt64, _ width: Int) {
        guard region == EDU.registers, let function = function.withLock({ $0 }) else { return }
        guard width == 4 || width == 8 && offset >= 0x80 else {
            return function.report("a write of \(width) bytes at 0x\(String(offset, radix: 16))")
        }
        let word = UInt32(truncatingIfNeeded: value)
        let effect = state.withLock { state -> Effect in
            state.answersAllOnes > 0 ? .none : Self.write(value, word, offset, &state, delay, function)
        }
        switch effect {
        case .none: break
        case .raise: raise(function)
        case .lower: function.setINTx(false)
        }
    }

    private enum Effect { case none, raise, lower }

    private static func write(
        _ value: UInt64, _ word: UInt32, _ offset: UInt64, _ state: inout State, _ delay: Int, _ function: DeviceFunction
    ) -> Effect {
        func whileIdle(_ name: String, _ body: (inout State) -> Void) {
            guard !state.command[.isRunning] else { return function.report("\(name) written while a transfer runs") }
            body(&state)
        }
        switch offset {
        case UInt64(EDU.liveness.offset): state.liveness = ~word
        case UInt64(EDU.factorial.offset):
            guard !state.status[.isComputing] else { break }
            state.factorial = word
            state.status[.isComputing] = true
        case UInt64(EDU.status.offset):
            state.status[.raisesFactorial] = EDUStatus(word: word)[.raisesFactorial]
        case UInt64(EDU.interruptRaise.offset):
            state.interrupts.word |= word
            return state.interrupts.word == 0 ? .none : .raise
        case UInt64(EDU.interruptAcknowledge.offset):
            state.interrupts.word &= ~word
            return state.interrupts.word == 0 ? .lower : .none
        case UInt64(EDU.source.offset): whileIdle("source") { $0.source = value }
        case UInt64(EDU.destination.offset): whileIdle("destination") { $0.destination = value }
        case UInt64(EDU.count.offset): whileIdle("count") { $0.count = value }
        case UInt64(EDU.command.offset):
            guard EDUCommand(word: value)[.isRunning] else { break }
            whileIdle("command") { state in
                state.command = EDUCommand(word: value)
                state.stepsLeft = delay
                state.garbage = 0
                state.wasEarly = false
            }
        default: function.report("a write at 0x\(String(offset, radix: 16)), where nothing is")
        }
        return .none
    }

    private func raise(_ function: DeviceFunction) {
        if function.usesMessages { function.fire(0) } else { function.setINTx(true) }
    }

    // MARK: Time

    public func step() -> Bool {
        guard let function = function.withLock({ $0 }) else { return false }
        let (raises, isBusy) = moving.withLock { _ -> (Int, Bool) in
            let (before, transfer) = state.withLock { state in begin(&state, function) }
            guard let transfer else { return (before, state.withLock { $0.isBusy }) }
            let arrived = move(transfer, function)
            return state.withLock { state in
                if let arrived { state.buffer.replaceSubrange(transfer.start..<transfer.start + arrived.count, with: arrived) }
                return (before + (transfer.ends ? Self.end(&state, transfer.fault) : 0), state.isBusy)
            }
        }
        for _ in 0..<raises { raise(function) }
        return isBusy
    }

    /// The product modulo 2^32, as the device's own arithmetic has it; 0 from 34 on.
    static func factorial(_ number: UInt32) -> UInt32 {
        number >= 34 ? 0 : (1...max(number, 1)).reduce(1) { $0 &* $1 }
    }

    /// The fault of this transfer, if it is to have one.
    private func fault(_ state: inout State) -> EDUFault? {
        guard let fault = state.fault, state.faultsLeft > 0 else { return nil }
        guard state.transfersBefore == 0 else {
            state.transfersBefore -= 1
            return nil
        }
        state.faultsLeft -= 1
        return fault
    }

    /// A transfer that was decided on, and is done without the lock that accesses to registers take.
    private struct Transfer {
        let isToMemory: Bool
        let address: IOVA
        /// Where it begins in the buffer.
        let start: Int
        /// What goes to memory; the room for what comes from it.
        let bytes: [UInt8]
        let fault: EDUFault?
        /// Whether the command is over with it.
        let ends: Bool
    }

    /// One step: how many interrupts come of it, and what has to be moved.
    private func begin(_ state: inout State, _ function: DeviceFunction) -> (raises: Int, Transfer?) {
        var raises = 0
        if state.status[.isComputing] {
            state.status[.isComputing] = false
            state.factorial = Self.factorial(state.factorial)
            if state.status[.raisesFactorial] {
                state.interrupts[.factorial] = true
                raises += 1
            }
        }
        if state.lateSteps > 0 {
            state.lateSteps -= 1
            if state.lateSteps == 0 {
                state.interrupts[.transfer] = true
                raises += 1
            }
        }
        guard state.stepsLeft > 0, !state.isStuck else { return (raises, nil) }
        state.stepsLeft -= 1
        guard state.stepsLeft == 0 else { return (raises, nil) }
        if state.wasEarly {
            state.wasEarly = false
            return (raises, Self.transfer(state, function, nil, ends: false))
        }
        state.transfers &+= 1
        let fault = fault(&state)
        switch fault {
        case .stuck:
            state.isStuck = true
            return (raises, nil)
        case .unplugged:
            function.remove()
            return (raises, nil)
        case .earlyStatus:
            state.wasEarly = true
            state.stepsLeft = 8
            return (raises + Self.end(&state, fault), nil)
        default: break
        }
        guard let transfer = Self.transfer(state, function, fault, ends: true) else {
            return (raises + Self.end(&state, fault), nil)
        }
        return (raises, transfer)
    }

    /// What the registers ask for; nil where that is not inside the buffer, which is reported.
    private static func transfer(
        _ state: State, _ function: DeviceFunction, _ fault: EDUFault?, ends: Bool
    ) -> Transfer? {
        let isToMemory = state.command[.direction] == EDUDirection.deviceToMemory
        let inside = isToMemory ? state.source : state.destination
        let outside = isToMemory ? state.destination : state.source
        guard inside >= EDU.buffer, state.count <= EDU.bufferCount, inside - EDU.buffer <= EDU.bufferCount - state.count else {
            function.report(
                "a transfer of \(state.count) bytes at 0x\(String(inside, radix: 16)), outside of the buffer")
            return nil
        }
        if outside & ~state.addressMask != 0 {
            function.report("the address 0x\(String(outside, radix: 16)), beyond the address lines")
        }
        // A page that nothing was ever mapped at: bit 27 is the highest that the address lines have.
        let address = (fault == .wildAddress ? outside ^ 0x0800_0000 : outside) & state.addressMask
        let start = Int(inside - EDU.buffer)
        let count = max(Int(state.count) - (fault == .oneByteShort ? 1 : 0), 0)
        return Transfer(
            isToMemory: isToMemory, address: IOVA(address), start: start,
            bytes: isToMemory ? Array(state.buffer[start..<start + count]) : [UInt8](repeating: 0xff, count: count),
            fault: fault, ends: ends)
    }

    /// Moves the bytes: what has come from memory, for a transfer from there.
    private func move(_ transfer: Transfer, _ function: DeviceFunction) -> [UInt8]? {
        var bytes = transfer.bytes
        // What is refused is counted, and is shown in the status register of the configuration space.
        guard !transfer.isToMemory else {
            // SAFETY: every byte of an array of bytes is initialized; the span ends with the call.
            try? unsafe function.write(bytes.span.bytes, at: transfer.address)
            return nil
        }
        var span = bytes.mutableSpan
        // SAFETY: every pattern of bits is a byte.
        var raw = unsafe span.mutableBytes
        try? function.read(transfer.address, into: &raw)
        return bytes
    }

    /// The end of a command: how many interrupts come of it.
    private static func end(_ state: inout State, _ fault: EDUFault?) -> Int {
        switch fault {
        case .allOnes: state.answersAllOnes = .max
        case .allOnesForAWhile: state.answersAllOnes = 5
        case .wrongStatus: state.garbage = 0x5a5a_0000_0000_0030
        default: break
        }
        state.command[.isRunning] = false
        guard state.command[.interrupts] else { return 0 }
        switch fault {
        case .lostInterrupt: return 0
        case .lateInterrupt:
            state.lateSteps = 20
            return 0
        case .duplicateInterrupt:
            state.interrupts[.transfer] = true
            return 2
        default:
            state.interrupts[.transfer] = true
            return 1
        }
    }
}
