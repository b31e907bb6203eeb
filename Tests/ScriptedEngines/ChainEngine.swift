// SPDX-License-Identifier: Apache-2.0

import CDMA
public import DMACore
public import DMAEngineKit

/// A chain of linked descriptors that may be extended while it runs, as in IOAT: in order, with pause, and with a peripheral on
/// each of four request lines.
///
/// The driver writes descriptors into a ring and links each to the previous one. If the device had already read the old end's
/// pointer, the extension came too late: the device goes idle, and is restarted at the first descriptor it has not seen (rule
/// 24).
@safe
public struct ChainEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    private let device: ChainDevice
    private let entries: Int
    /// Descriptors written, linked for the device, and reported, since the start.
    private var written = 0
    private var linked = 0
    private var reported = 0
    /// The descriptors that the device finished last, as a number since the start.
    private var completed = 0
    private var tags: [UInt32]
    private var counts: [UInt64]
    private var configuration = EngineConfiguration()
    /// How often an extension came too late.
    public private(set) var restarts = 0

    /// - Parameters:
    ///   - entries: descriptors in the ring; one fewer can be in flight.
    ///   - seed: of the device's speed.
    ///   - domain: of the descriptors' memory, which is coherent.
    public init(entries: Int = 8, seed: UInt64 = 1, domain: Domain) throws(DMAError) {
        device = try ChainDevice(entries: entries, seed: seed, domain: domain)
        self.entries = entries
        tags = [UInt32](repeating: 0, count: entries)
        counts = [UInt64](repeating: 0, count: entries)
    }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "chain", implementation: "scripted",
            operations: [.copy, .fill, .crc32c, .copyCRC32C, .xor, .xorValidate, .scatterGather, .peripheral, .null, .command],
            depth: entries - 1)
        // The device advances with each poll.
        capabilities.worksInPoll = true
        capabilities.commands = PeripheralCommandSet([.flush])
        capabilities.flags = [.fence, .reuse, .continue]
        capabilities.maximumSources = 5
        capabilities.maximumSegments = 16
        capabilities.maximumCount = 1 << 20
        capabilities.alignment = 4
        capabilities.canPause = true
        capabilities.extendsWhileRunning = true
        capabilities.priorities = 2
        return capabilities
    }

    private func place(_ index: Int) -> Int { index % entries * ChainField.stride }
    private func address(_ index: Int) -> UInt64 { device.memory.iova.rawValue + UInt64(place(index)) }

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // One entry stays empty; otherwise the last address of a full round would equal that of the one before the first.
        guard written - reported < entries - 1 else { return .full }
        let at = place(written)
        let memory = device
        do throws(DMAError) {
            let control = UInt32(descriptor.kind.rawValue) | UInt32(descriptor.flags.rawValue) << 16
            try memory.memory.store(control, at: at + ChainField.control)
            try memory.memory.store(tag, at: at + ChainField.tag)
            try memory.memory.store(descriptor.source, at: at + ChainField.source)
            try memory.memory.store(descriptor.destination, at: at + ChainField.destination)
            try memory.memory.store(descriptor.count, at: at + ChainField.count)
            try memory.memory.store(UInt64(0), at: at + ChainField.next)
            try memory.memory.store(descriptor.value, at: at + ChainField.value)
            let list = unsafe UInt64(UInt(bitPattern: descriptor.operands))
            try memory.memory.store(list, at: at + ChainField.operands)
            // The request line is stored in the descriptor, so that a later configuration does not affect it (rule 2).
            let counts =
                UInt64(descriptor.sourceCount) | UInt64(descriptor.destinationCount) << 16
                | UInt64(configuration.peripheral) << 32
            try memory.memory.store(counts, at: at + ChainField.counts)
        } catch { return .full }
        tags[written % entries] = tag
        counts[written % entries] = descriptor.count
        written += 1
        return .accepted
    }

    public mutating func issuePending() {
        guard linked < written else { return }
        do throws(DMAError) {
            for index in linked + 1..<max(written, linked + 1) {
                try device.memory.store(address(index), at: place(index - 1) + ChainField.next)
            }
            let wasIdle = linked == completed
            let first = linked
            linked = written
            if wasIdle {
                device.start(at: address(first))
            } else {
                // The link to the running chain is written last, after everything that it leads to.
                try device.memory.storeRelease(address(first), at: place(first - 1) + ChainField.next)
            }
        } catch {
            // Indices are inside the ring by construction.
        }
    }

    /// Reads the write-back word; restarts the device where it went idle before the end.
    private mutating func look() {
        guard let word = try? device.memory.loadAcquire(at: device.writeBack, as: UInt64.self), completed < linked else {
            return
        }
        let state = word & 7
        if word & ~7 != 0 {
            for index in completed..<linked where address(index) == word & ~7 { completed = index + 1 }
        }
        if state == ChainDevice.idle, word & ~7 != 0, completed < linked {
            restarts += 1
            device.start(at: address(completed))
        }
    }

    public mutating func next() -> Completion? {
        device.step()
        look()
        if reported < completed {
            let index = reported % entries
            reported += 1
            let value = (try? device.memory.load(at: place(reported - 1) + ChainField.value, as: UInt64.self)) ?? 0
            return Completion(tag: tags[index], value: value)
        }
        if let (status, at) = device.failure, reported < linked, address(reported) == at {
            let index = reported % entries
            reported += 1
            completed = reported
            if completed < linked { device.start(at: address(completed)) } else { device.clearFailure() }
            return Completion(tag: tags[index], status: status, residue: counts[index])
        }
        return nil
    }

    public mutating func terminate() { device.setPaused(true) }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        look()
        device.reset()
        // Completed descriptors can still be reported; the others never will be.
        if reported == completed {
            written = 0
            linked = 0
            reported = 0
            completed = 0
        } else {
            written = completed
            linked = completed
        }
        return true
    }

    public mutating func pause() -> Bool {
        device.setPaused(true)
        return true
    }

    public mutating func resume() -> Bool {
        device.setPaused(false)
        return true
    }

    /// The whole length until it is done: the device reports its last finished descriptor, and nothing finer.
    public mutating func residue(of tag: UInt32) -> UInt64? {
        for index in reported..<written where tags[index % entries] == tag {
            return index < completed ? 0 : counts[index % entries]
        }
        return nil
    }

    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        guard configuration.peripheral < 4 else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.peripheral), limit: 3)
        }
        self.configuration = configuration
    }

    /// The next descriptor that the device looks at fails with `status`; the device halts there and is started behind it.
    public mutating func failNext(_ status: TransactionStatus) { device.fail(status) }
    /// The far side of the request lines.
    public var peripheral: ChainPeripheral { ChainPeripheral(device) }
}

/// The FIFOs on a chain engine's four request lines. Any thread may use it.
public final class ChainPeripheral: Sendable {
    private let device: ChainDevice
    init(_ device: ChainDevice) { self.device = device }
    public var lines: [UInt32] { [0, 1, 2, 3] }
    /// The unit of a transfer's length, in bytes.
    public var unit: Int { 4 }
    /// Makes the peripheral on `line` deliver these bytes, after those that it was fed before.
    public func feed(_ bytes: [UInt8], line: UInt32) { device.feed(bytes, line: Int(line & 3)) }
    /// The bytes that the peripheral on `line` has received since the last call.
    public func drain(line: UInt32) -> [UInt8] { device.drain(line: Int(line & 3)) }
}
