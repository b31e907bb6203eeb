// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMADriverKit
import DMAEngineKit
import DMAIOATModel
import DMAIOATSpecification
import DMAInProcessAccess
import DMAPCISpecification
import DMARegisters

/// The model of an I/OAT behind a way that garbles what it says, as a program's bytes have it: registers, completions, interrupts, removal.
///
/// What it asks of the driver: that each descriptor that it counts in names memory that is mapped at that time, and leads to another one.
final class RandomIOAT: DeviceTransport, RegisterPath {
    private struct State {
        let bytes: [UInt8]
        var position = 0
        /// Answers that are still honest, so that a driver gets as far as to be driven.
        var calm = 400
        var gone: String?
        var failure: String?
        var accesses = 0
        // What was written to the channel.
        var chain: UInt64 = 0
        var completion: UInt64 = 0
        var counted: UInt16 = 0
        var next: UInt64 = 0

        mutating func byte() -> Int {
            guard position < bytes.count else { return 0 }
            defer { position += 1 }
            return Int(bytes[position])
        }
        mutating func word() -> UInt64 { (0..<8).reduce(0) { value, _ in value << 8 | UInt64(byte()) } }
    }

    private let state: Locked<State>
    private let model: IOATModel
    private let inner: InProcessDevice
    private let registers: any RegisterPath

    init?(_ bytes: [UInt8]) {
        let model = IOATModel(transferBits: 12, burst: 2)
        guard let inner = try? InProcessDevice(model, name: "random", addressing: .translated(bits: 28)),
            let region = try? inner.regions().first
        else { return nil }
        state = Locked(State(bytes: bytes))
        self.model = model
        self.inner = inner
        registers = region.path
    }

    /// What the driver did that it must not; nil for nothing.
    var failure: String? { state.withLock { $0.failure } }
    var accesses: Int { state.withLock { $0.accesses } }
    var position: Int { state.withLock { $0.position } }
    var isOver: Bool { state.withLock { $0.position >= $0.bytes.count } }
    func byte() -> Int { state.withLock { $0.byte() } }

    var name: String { inner.name }
    var space: AddressSpace { inner.space }
    var goneReason: String? { state.withLock { $0.gone } }
    // One that was pulled out reaches no memory.
    var isDead: Bool { inner.isDead }
    func claim() throws(AccessError) { try inner.claim() }
    func release() { inner.release() }

    func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        let choice = state.withLock { state in state.calm > 0 ? 0 : state.byte() }
        guard choice < 240 else { throw AccessError(.refused, device: name, "no reset today", cure: "none") }
        state.withLock { state in (state.chain, state.completion, state.counted, state.next) = (0, 0, 0, 0) }
        return try inner.reset(by: deadline)
    }

    // MARK: Configuration space

    var configurationCount: Int { inner.configurationCount }
    func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 {
        let mask = UInt32(truncatingIfNeeded: width.allOnes)
        let garbled = state.withLock { state -> UInt32? in
            state.accesses += 1
            if state.gone != nil { return mask }
            if state.calm > 0 {
                state.calm -= 1
                return nil
            }
            let choice = state.byte()
            return choice > 252 ? mask : choice > 248 ? UInt32(truncatingIfNeeded: state.word()) & mask : nil
        }
        return garbled ?? inner.readConfiguration(offset, width)
    }
    func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        inner.writeConfiguration(value, offset, width)
    }

    // MARK: Registers

    func regions() throws(AccessError) -> [DeviceRegion] {
        [DeviceRegion(index: IOAT.registers, count: UInt64(IOAT.registersCount), path: self)]
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        let honest = registers.read(offset, width)
        garbleCompletion()
        return state.withLock { state in
            state.accesses += 1
            if state.gone != nil { return width.allOnes }
            if state.calm > 0 {
                state.calm -= 1
                return honest
            }
            switch state.byte() {
            case 0..<190: return honest
            case 190..<205: return (honest ^ 1 << UInt64(state.byte() % 64)) & width.allOnes
            case 205..<215: return width.allOnes
            case 215..<253: return state.word() & width.allOnes
            default:
                if state.byte() < 16 {
                    state.gone = "the program says so"
                    inner.function.remove()
                }
                return width.allOnes
            }
        }
    }

    /// Now and then the completion's word is another one than the model has written.
    private func garbleCompletion() {
        let (address, word) = state.withLock { state -> (UInt64, UInt64?) in
            guard state.calm == 0, state.completion != 0, state.byte() > 225 else { return (0, nil) }
            let choice = state.byte()
            // Near what is honest: a descriptor of the ring with any state.
            if choice < 128 {
                return (state.completion, (state.chain & ~0xfff) &+ UInt64(choice % 64) * 64 | UInt64(choice / 16))
            }
            return (state.completion, state.word())
        }
        if let word { try? inner.function.store(word, at: IOVA(address)) }
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        let channel = UInt64(IOAT.channelStride)
        state.withLock { state in
            state.accesses += 1
            switch (offset, width) {
            case (channel + UInt64(IOATChannel.chainAddress.offset), .word): state.chain = state.chain & ~0xffff_ffff | value
            case (channel + UInt64(IOATChannel.chainAddress.offset + 4), .word):
                state.chain = state.chain & 0xffff_ffff | value << 32
                state.next = state.chain
                state.counted = 0
            case (channel + UInt64(IOATChannel.completionAddress.offset), .word):
                state.completion = state.completion & ~0xffff_ffff | value
            case (channel + UInt64(IOATChannel.completionAddress.offset + 4), .word):
                state.completion = state.completion & 0xffff_ffff | value << 32
            default: break
            }
        }
        if offset == channel + UInt64(IOATChannel.count.offset) { judge(UInt16(truncatingIfNeeded: value)) }
        registers.write(value, offset, width, isDoorbell: isDoorbell)
    }

    func flush() { registers.flush() }
    func didRefuse(_ offset: UInt64, _ width: AccessWidth) { state.withLock { $0.failure = "an access at \(offset)" } }

    // MARK: What the driver hands over

    private func bytes(_ address: UInt64, _ count: Int) throws(DMAError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        // SAFETY: every pattern of bits is a byte.
        var raw = unsafe span.mutableBytes
        try inner.function.memory.read(IOVA(address), into: &raw)
        return bytes
    }

    private func descriptor(_ address: UInt64) throws(DMAError) -> IOATDescriptor {
        let bytes = try bytes(address, IOAT.descriptorCount)
        var descriptor = IOATDescriptor()
        for word in 0..<8 { descriptor[word] = (0..<8).reduce(0) { $0 | UInt64(bytes[8 * word + $1]) << UInt64(8 * $1) } }
        return descriptor
    }

    /// Looks at the descriptors that the count adds.
    private func judge(_ count: UInt16) {
        let (start, added) = state.withLock { state in
            defer { state.counted = count }
            return (state.next, count &- state.counted)
        }
        var next = start
        var left = Int(added)
        do throws(DMAError) {
            // Ends: each turn takes a descriptor of those that were added.
            while left > 0 {
                let descriptor = try descriptor(next)
                let control = descriptor.control
                guard let operation = control[.operation] as IOATOperation?, control.word & operation.reservedControl == 0,
                    descriptor.size > 0, descriptor.size <= 4096
                else { return fail("a descriptor with control 0x\(String(control.word, radix: 16)), size \(descriptor.size)") }
                next = descriptor.next
                left -= 1
                var second = IOATDescriptor()
                if operation.isParity, control.sources > operation.ownSources {
                    guard left > 0 else { return fail("an extension that is not counted") }
                    second = try self.descriptor(next)
                    next = second.next
                    left -= 1
                }
                if let text = judge(descriptor, second, operation) { return fail(text) }
            }
        } catch { return fail("a descriptor at 0x\(String(next, radix: 16)): \(error.code)") }
        state.withLock { $0.next = next }
    }

    private func fail(_ text: String) { state.withLock { $0.failure = text } }

    private func judge(_ descriptor: IOATDescriptor, _ second: IOATDescriptor, _ operation: IOATOperation) -> String? {
        let control = descriptor.control
        let size = Int(descriptor.size)
        if operation == .copy, control[.isNull] { return nil }
        var places: [UInt64] = []
        if operation.isParity {
            for index in 0..<control.sources {
                let place = IOATDescriptor.place(of: index, operation)
                places.append(place.isExtension ? second[place.word] : descriptor[place.word])
            }
        } else if operation == .copy {
            places.append(descriptor.source)
        }
        let isPQ = operation == .pq || operation == .pqValidate
        if !isPQ || !control[.disablesP] { places.append(descriptor.destination) }
        if isPQ, !control[.disablesQ] { places.append(descriptor.q) }
        for place in places {
            do throws(DMAError) { _ = try bytes(place, size) } catch {
                // What only the device may write cannot be read, and is mapped.
                guard error.code == .noPermission else {
                    return "\(size) bytes at 0x\(String(place, radix: 16)) of \(operation): \(error.code)"
                }
            }
        }
        return nil
    }

    // MARK: Interrupts

    func interruptCount(_ kind: InterruptKind) -> Int { inner.interruptCount(kind) }
    func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) { try inner.enableInterrupts(kind, count: count, handler) }
    func rearmInterrupts() throws(AccessError) { try inner.rearmInterrupts() }
    func disableInterrupts() throws(AccessError) { try inner.disableInterrupts() }
    let deliversInterrupts = false
    func look() {
        let choice = state.withLock { state in state.calm > 0 ? 255 : state.byte() }
        if choice < 40 { inner.function.fire(0) }
        if choice % 8 == 0 {
            let faults = IOATFault.allCases
            if choice < 200 { model.set(faults[choice / 8 % faults.count], steps: 3) }
        }
        garbleCompletion()
        inner.look()
    }
    func pause(until deadline: Deadline) { inner.pause(until: deadline) }
}
