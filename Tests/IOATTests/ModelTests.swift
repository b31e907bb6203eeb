// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMADriverKit
import DMAIOATModel
import DMAIOATSpecification
import DMAInProcessAccess
import DMARegisters
import DMATestSupport
import Testing

/// The model, by its registers alone: as the drivers that it is for use them.
@Suite("I/OAT: the model")
struct ModelTests {
    /// The device with a ring of eight descriptors, a page for completions and one for bytes.
    private struct Bench: ~Copyable {
        let model: IOATModel
        let device: InProcessDevice
        let running: RunningDevice
        let global: RegisterWindow
        let channel: RegisterWindow
        let memory: CoherentBuffer

        var ring: UInt64 { memory.iova.rawValue }
        var completion: UInt64 { ring + 1024 }
        var data: UInt64 { ring + 4096 }

        init(_ model: IOATModel = IOATModel(transferBits: 12)) throws {
            let device = try InProcessDevice(model, name: "ioat model")
            let quiet = try QuietDevice(opening: device)
            let global = try quiet.window(IOAT.registers)
            guard let channel = global.part(at: IOAT.channelStride, count: IOAT.channelStride) else { throw Late() }
            let memory = try CoherentBuffer(count: 16_384, domain: quiet.domain)
            running = try quiet.start()
            self.model = model
            self.device = device
            self.global = global
            self.channel = channel
            self.memory = memory
        }

        func write(_ descriptor: IOATDescriptor, at index: Int, linked: Bool = true) throws {
            var descriptor = descriptor
            if linked { descriptor.next = ring + UInt64(64 * ((index + 1) % 8)) }
            for word in 0..<8 { try memory.store(descriptor[word], at: 64 * (index % 8) + 8 * word) }
        }

        /// As Linux starts a chain: two halves each, then the count.
        func start(at index: Int, count: UInt16) {
            channel.write(.run, to: IOATChannel.control)
            channel.write(completion, to: IOATChannel.completionAddress)
            channel.write(ring + UInt64(64 * index), to: IOATChannel.chainAddress)
            channel.write(count, to: IOATChannel.count)
        }

        func status(until state: IOATState) throws -> IOATStatus {
            for _ in 0..<1000 {
                let status = channel.read(IOATChannel.status)
                if status[.state] == state { return status }
            }
            throw Late()
        }

        var word: UInt64 { get throws { try memory.load(at: 1024, as: UInt64.self) } }
        var errors: UInt32 { channel.read(IOATChannel.errors).word }
    }

    private static func null(_ interrupts: Bool = false) -> IOATDescriptor {
        var control = IOATControl(.copy)
        control[.isNull] = true
        control[.writesCompletion] = true
        control[.interrupts] = interrupts
        return IOATDescriptor(control, size: 1)
    }

    private static func copy(_ from: UInt64, _ to: UInt64, _ size: UInt32) -> IOATDescriptor {
        var control = IOATControl(.copy)
        control[.writesCompletion] = true
        var descriptor = IOATDescriptor(control, size: size)
        descriptor.source = from
        descriptor.destination = to
        return descriptor
    }

    @Test("identity and capabilities of both chips")
    func identity() throws {
        for (kind, device, parity) in [(IOATModel.Kind.broadwellDE, UInt16(0x6f50), false), (.atom, 0x0c50, true)] {
            let model = IOATModel(kind, channels: 4)
            #expect(model.description.vendor == 0x8086 && model.description.device == device)
            let bench = try Bench(model)
            let (count, capacity) = (bench.global.read(IOAT.channelCount), bench.global.read(IOAT.transferCapacity))
            #expect(count == 4 && capacity == 20)
            let (version, capability) = (bench.global.read(IOAT.version), bench.global.read(IOAT.capability))
            #expect(version == 0x33)
            #expect(capability.word == (parity ? 0x340 : 0x40))
            let delay = bench.global.read(IOAT.interruptDelay)
            #expect(delay.word == 0x8000)
            // What Linux's reset waits for: neither active nor idle.
            let state = bench.channel.read(IOATChannel.status)[.state] as IOATState?
            #expect(state == .halted)
            let offset = bench.global.read(IOAT.cacheAccessOffset)
            #expect(offset == 0)
        }
    }

    @Test("a start as Linux does it, and an extension of the chain while it stands")
    func start() throws {
        let bench = try Bench()
        try bench.write(Self.null(), at: 0)
        bench.start(at: 0, count: 1)
        let status = try bench.status(until: .idle)
        let word = try bench.word
        #expect(status.completed == bench.ring && word == status.word && bench.errors == 0)
        for byte in 0..<100 { try bench.memory.store(UInt8(byte), at: 4096 + byte) }
        try bench.write(Self.copy(bench.data, bench.data + 1000, 100), at: 1)
        bench.channel.write(2, to: IOATChannel.count)
        let next = try bench.status(until: .idle)
        #expect(next.completed == bench.ring + 64)
        let last = try bench.memory.load(at: 4096 + 1099, as: UInt8.self)
        #expect(last == 99)
        #expect(bench.device.function.violations == [])
    }

    @Test(
        "a validation that fails, as Linux's self-test wants it: the completion names the descriptor before; a new chain goes on behind it"
    )
    func validation() throws {
        let bench = try Bench()
        try bench.write(Self.null(), at: 0)
        bench.start(at: 0, count: 1)
        _ = try bench.status(until: .idle)
        // As Linux's: no completion of its own, a null descriptor behind it that has one. Six sources, whose sixth is in the extension.
        try bench.memory.store(UInt8(1), at: 4096)
        var control = IOATControl(.xorValidate)
        control.sources = 6
        var validate = IOATDescriptor(control, size: 16)
        for index in 0..<5 { validate[IOATDescriptor.place(of: index, .xorValidate).word] = bench.data + 64 * UInt64(index) }
        validate.destination = bench.data + 1024
        var second = IOATDescriptor()
        second[0] = bench.data + 320
        try bench.write(validate, at: 1)
        try bench.write(second, at: 2)
        try bench.write(Self.null(), at: 3)
        bench.channel.write(4, to: IOATChannel.count)
        let halted = try bench.status(until: .halted)
        let word = try bench.word
        let errors = bench.errors
        #expect(halted.completed == bench.ring && word == bench.ring | 3)
        #expect(errors == 0x10000)
        bench.channel.clear(IOATErrors(word: errors), in: IOATChannel.errors)
        bench.start(at: 3, count: 1)
        let idle = try bench.status(until: .idle)
        #expect(idle.completed == bench.ring + 192 && bench.errors == 0)
        #expect(bench.device.function.violations == [])
        // Masked, the error is shown and stops nothing.
        var mask = IOATErrors(word: 0)
        mask[.p] = true
        bench.channel.write(mask, to: IOATChannel.errorMask)
        bench.start(at: 1, count: 3)
        let masked = try bench.status(until: .idle)
        #expect(masked.completed == bench.ring + 192 && bench.errors == 0x10000)
    }

    @Test("what a driver must not do is reported, and answered by the register's error")
    func violations() throws {
        func attempt(_ error: UInt32, _ prepare: (borrowing Bench) throws -> Void) throws {
            let bench = try Bench()
            try prepare(bench)
            _ = try bench.status(until: .halted)
            let (errors, count) = (bench.errors, bench.device.function.violationCount)
            #expect(errors == error && count == 1, "\(bench.device.function.violations)")
        }
        try attempt(0x10) { bench in
            bench.channel.write(bench.completion, to: IOATChannel.completionAddress)
            bench.channel.write(bench.ring + 8, to: IOATChannel.chainAddress)
            bench.channel.write(1, to: IOATChannel.count)
        }
        try attempt(0x1000) { bench in
            bench.channel.write(bench.completion + 4, to: IOATChannel.completionAddress)
            bench.channel.write(bench.ring, to: IOATChannel.chainAddress)
            bench.channel.write(1, to: IOATChannel.count)
        }
        func one(_ descriptor: IOATDescriptor, count: UInt16 = 1) -> (borrowing Bench) throws -> Void {
            { bench in
                try bench.write(descriptor, at: 0)
                bench.start(at: 0, count: count)
            }
        }
        // No size, and one too many.
        try attempt(0x800, one(Self.copy(0, 0, 0)))
        try attempt(0x800, one(Self.copy(0, 0, 4097)))
        // Each reserved bit of each operation; operations that there are not.
        for operation in [IOATOperation.copy, .fill, .xor, .pq] {
            for bit in 0..<24 where operation.reservedControl & 1 << UInt32(bit) != 0 {
                var control = IOATControl(operation)
                control.word |= 1 << UInt32(bit)
                try attempt(0x400, one(IOATDescriptor(control, size: 8)))
            }
        }
        for word: UInt32 in [0x02, 0x80, 0x8b, 0xff] {
            try attempt(0x400, one(IOATDescriptor(IOATControl(word: word << 24), size: 8)))
        }
        // Nine sources; neither P nor Q.
        try attempt(0x400, one(IOATDescriptor(IOATControl(word: 0x8700_00e0), size: 8)))
        try attempt(0x400, one(IOATDescriptor(IOATControl(word: 0x8900_1800), size: 8)))
        // A count that ends before the extension.
        var six = IOATControl(.xor)
        six.sources = 6
        try attempt(0x40000, one(IOATDescriptor(six, size: 8)))
        // A chain that leads astray, and one that is not mapped.
        try attempt(0x8) { bench in
            var astray = Self.null()
            astray.next = bench.ring + 72
            try bench.write(astray, at: 0, linked: false)
            bench.start(at: 0, count: 2)
        }
        try attempt(0x4) { bench in
            var astray = Self.null()
            astray.next = 0xf000_0000
            try bench.write(astray, at: 0, linked: false)
            bench.start(at: 0, count: 2)
        }
        // Completions where nothing is mapped.
        try attempt(0x1000) { bench in
            try bench.write(Self.null(), at: 0)
            bench.channel.write(0xf000_0000, to: IOATChannel.completionAddress)
            bench.channel.write(bench.ring, to: IOATChannel.chainAddress)
            bench.channel.write(1, to: IOATChannel.count)
        }
    }

    @Test("bytes outside of what is mapped: refused, counted, and shown as data errors")
    func unmapped() throws {
        for (from, to, error) in [(UInt64(0xf000_0000), nil, UInt32(0x100)), (nil, 0xf000_0000, 0x200)]
            as [(UInt64?, UInt64?, UInt32)]
        {
            let bench = try Bench()
            try bench.write(Self.copy(from ?? bench.data, to ?? bench.data, 64), at: 0)
            bench.start(at: 0, count: 1)
            _ = try bench.status(until: .halted)
            let errors = bench.errors
            #expect(errors == error && bench.device.function.refusedTransfers == 1)
            // Extended by a driver that does not know yet: nothing runs. Started again without clearing: reported as well.
            bench.channel.write(2, to: IOATChannel.count)
            bench.channel.flush()
            #expect(bench.device.function.violations == [])
            bench.start(at: 0, count: 1)
            bench.channel.flush()
            let descriptors = bench.model.descriptors
            #expect(descriptors == 1)
            #expect(bench.device.function.violations.count == 1)
        }
    }

    @Test("registers that there are not, wrong widths, and writes in a wrong state")
    func registers() throws {
        let bench = try Bench()
        #expect(bench.global.load(0, as: UInt32.self) == .max)
        #expect(bench.global.load(0x1000, as: UInt32.self) == .max)
        bench.global.store(UInt32(0), at: 0x40, isDoorbell: true)
        bench.channel.store(UInt32(1), at: 0x06 & ~3, isDoorbell: true)
        // A count without a chain.
        bench.channel.write(1, to: IOATChannel.count)
        bench.channel.write(IOATChannelCommand(word: 0x24), to: IOATChannel.command)
        #expect(bench.device.function.violationCount == 4, "\(bench.device.function.violations)")
    }

    @Test("suspend, resume, abort and reset")
    func commands() throws {
        let bench = try Bench(IOATModel(transferBits: 12, burst: 1))
        for index in 0..<8 { try bench.write(Self.copy(bench.data, bench.data + 64, 8), at: index) }
        bench.start(at: 0, count: 200)
        bench.channel.write(.suspend, to: IOATChannel.command)
        let suspended = try bench.status(until: .suspended)
        let before = bench.model.descriptors
        for _ in 0..<20 { _ = bench.model.step() }
        #expect(bench.model.descriptors == before && suspended.completed != 0)
        bench.channel.write(.resume, to: IOATChannel.command)
        _ = try bench.status(until: .active)
        bench.channel.write(.abort, to: IOATChannel.command)
        _ = try bench.status(until: .halted)
        let (errors, aborted) = (bench.errors, bench.model.descriptors)
        #expect(errors == 0 && aborted < 200)
        bench.channel.write(.reset, to: IOATChannel.command)
        for _ in 0..<20 where bench.channel.read(IOATChannel.command)[.resets] {}
        let status = bench.channel.read(IOATChannel.status)
        #expect(status.word == 3)
        bench.start(at: 0, count: 2)
        _ = try bench.status(until: .idle)
        #expect(bench.model.descriptors == aborted + 2)
        #expect(bench.device.function.violations == [])
    }

    @Test("interrupts: one until it is rearmed; reading the control switches them off; a delay gathers them")
    func interrupts() throws {
        let bench = try Bench(IOATModel(burst: 1, hasMessages: false))
        func enable() {
            var control = IOATInterruptControl(word: 0)
            control[.isEnabled] = true
            bench.global.write(control, to: IOAT.interruptControl)
        }
        for index in 0..<8 { try bench.write(Self.null(true), at: index) }
        bench.start(at: 0, count: 3)
        _ = try bench.status(until: .idle)
        #expect(bench.device.function.interrupts == 0)
        enable()
        bench.global.flush()
        #expect(bench.device.function.interrupts == 1)
        let control = bench.global.read(IOAT.interruptControl)
        #expect(control.word == 7)
        let again = bench.global.read(IOAT.interruptControl)
        #expect(again.word == 2)
        let (attention, cleared) = (bench.global.read(IOAT.attention), bench.global.read(IOAT.attention))
        #expect(attention == 1 && cleared == 0)
        enable()
        bench.global.flush()
        #expect(bench.device.function.interrupts == 1)
        // Two more have happened since: rearmed, they are one.
        bench.channel.write(.run, to: IOATChannel.control)
        bench.global.flush()
        #expect(bench.device.function.interrupts == 2)
        _ = bench.global.read(IOAT.attention)
        bench.channel.write(.run, to: IOATChannel.control)
        bench.global.write(IOATInterruptDelay(word: 100), to: IOAT.interruptDelay)
        bench.channel.write(6, to: IOATChannel.count)
        _ = try bench.status(until: .idle)
        #expect(bench.device.function.interrupts == 2)
        for _ in 0..<100 { _ = bench.model.step() }
        #expect(bench.device.function.interrupts == 3)
        // Those of before the delay was over are gathered in that one.
        _ = bench.global.read(IOAT.attention)
        bench.channel.write(.run, to: IOATChannel.control)
        for _ in 0..<200 { _ = bench.model.step() }
        #expect(bench.device.function.interrupts == 3)
        #expect(bench.device.function.violations == [])
    }
}
