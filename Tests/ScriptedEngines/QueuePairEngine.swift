// SPDX-License-Identifier: Apache-2.0

import CDMA
public import DMACore
public import DMAEngineKit

/// A submission and a completion queue with phase bits, as in NVMe: many slots, 16-bit tags, completions in any order,
/// interrupts. Supports every operation between memories.
@safe
public struct QueuePairEngine: ~Copyable, Engine {
    public var addressing: EngineAddressing { .cpu }
    /// Bytes of metadata: the device inverts each.
    public static var metadataCount: Int { 16 }

    /// How the driver reads an entry.
    public enum Reading: Sendable {
        /// The phase, then the fields that it validates.
        case phaseFirst
        /// The fields, and then the phase: the device may write the entry between.
        case fieldsFirst
    }

    private let reading: Reading
    private let device: QueuePairDevice
    private let clock: DeviceClock
    private let entries: UInt32
    private var tail: UInt32 = 0
    private var rung: UInt32 = 0
    private var taken: UInt32 = 0
    /// Commands that were written and whose completion was not taken.
    private var open: [UInt32: (count: UInt64, isInterrupt: Bool)] = [:]

    /// - Parameters:
    ///   - entries: of both queues, a power of two.
    ///   - seed: of the device's order and speed.
    ///   - reading: of the completions.
    public init(entries: Int = 16, seed: UInt64 = 1, reading: Reading = .phaseFirst) {
        self.reading = reading
        let device = QueuePairDevice(entries: entries, seed: seed)
        self.device = device
        clock = DeviceClock { device.step() }
        self.entries = UInt32(entries)
    }

    deinit { clock.stop() }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "queue-pair", implementation: "scripted",
            operations: [
                .copy, .fill, .crc32c, .copyCRC32C, .xor, .xorValidate, .pq, .pqValidate, .scatterGather, .interleaved, .null,
            ], depth: Int(entries))
        // The device advances with each poll.
        capabilities.worksInPoll = true
        capabilities.flags = [.interrupt, .reuse, .continue, .disableP, .disableQ]
        capabilities.maximumSources = 8
        capabilities.maximumSegments = 32
        capabilities.maximumCount = 1 << 24
        capabilities.completesInOrder = false
        capabilities.residueGranularity = .burst
        capabilities.hasInterrupts = true
        capabilities.tagBits = 16
        capabilities.metadataCount = QueuePairEngine.metadataCount
        capabilities.quantum = 4096
        return capabilities
    }

    public var interruptLine: InterruptLine? { device.line }

    @unsafe public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard open.count < Int(entries) else { return .full }
        // A command's identifier has 16 bits.
        let tag = tag & 0xffff
        // The slot belongs to the host: fewer commands are open than there are entries, and the device has read the earlier
        // ones.
        let command = unsafe device.commands + Int(tail % entries) * QueuePairDevice.commandStride
        unsafe command.storeBytes(of: tag, as: UInt32.self)
        unsafe (command + QueuePairDevice.descriptorOffset).bindMemory(to: Descriptor.self, capacity: 1).initialize(
            to: descriptor)
        tail &+= 1
        open[tag] = (descriptor.count, descriptor.flags.contains(.interrupt))
        return .accepted
    }

    public mutating func issuePending() {
        guard rung != tail else { return }
        rung = tail
        unsafe cdma_store_release32(device.doorbell, tail)
        if open.values.contains(where: { $0.isInterrupt }) { clock.kick() }
    }

    public mutating func next() -> Completion? {
        _ = device.step()
        var isPosted = reading == .fieldsFirst ? true : isReady(taken)
        guard isPosted else { return nil }
        let entry = unsafe device.completions + Int(taken % entries) * QueuePairDevice.completionStride
        // SAFETY: inside the ring. Where the phase was read first, the fields are those of this round, whatever the device does
        // in between. Where it is read last, the device may write them meanwhile: each word is one atomic access.
        device.tick()
        let tag = unsafe cdma_load_acquire32(entry)
        device.tick()
        let status = unsafe UInt8(truncatingIfNeeded: cdma_load_acquire32(entry + 4))
        device.tick()
        let residue = unsafe cdma_load_relaxed64(entry + 8)
        device.tick()
        let value = unsafe cdma_load_relaxed64(entry + 16)
        device.tick()
        if reading == .fieldsFirst { isPosted = isReady(taken) }
        guard isPosted else { return nil }
        let completion = Completion(
            tag: tag, status: TransactionStatus(rawValue: status) ?? .failed, residue: residue, value: value)
        taken &+= 1
        open[completion.tag] = nil
        return completion
    }

    /// Whether completion number `index` was posted. Phases are 1 in the first round, which starts with zeros, and toggle with
    /// each.
    private func isReady(_ index: UInt32) -> Bool {
        let entry = unsafe device.completions + Int(index % entries) * QueuePairDevice.completionStride
        return unsafe cdma_load_acquire32(entry + 28) == 1 ^ (index / entries) & 1
    }

    public mutating func terminate() { device.terminate() }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        // Commands written and never rung are dropped by ringing while the device drops everything.
        rung = tail
        unsafe cdma_store_release32(device.doorbell, tail)
        device.settle()
        // Posted completions can still be taken, and their commands stay open until then.
        var posted = Set<UInt32>()
        var index = taken
        while index &- taken < entries, isReady(index) {
            unsafe posted.insert(
                cdma_load_acquire32(device.completions + Int(index % entries) * QueuePairDevice.completionStride))
            index &+= 1
        }
        open = open.filter { posted.contains($0.key) }
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        device.residue(of: tag & 0xffff) ?? open[tag & 0xffff]?.count
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        let seen = device.line.count
        if isReady(taken) { return true }
        return device.line.wait(after: seen, until: deadline)
    }

    /// The next command of the device fails with `status`.
    public mutating func failNext(_ status: TransactionStatus) { device.fail(status) }
}
