// SPDX-License-Identifier: Apache-2.0

public import DMADriverKit

/// An engine that uses the kernel to copy: process_vm_writev(2) or process_vm_readv(2) on this process's own memory.
///
/// The polling thread does the work, one system call of at most ``ProcessMemorySettings/quantum`` bytes in each poll, in the
/// order of submission. Compared with memcpy(3), an unmapped address is an error of one transaction instead of a signal: EFAULT
/// in ``Finished/deviceStatus``, with the side that failed as the status.
public struct ProcessMemoryEngine: ~Copyable, Engine {
    /// Work is done from the head of a queue.
    public static var order: CompletionOrder { .inOrder }
    /// Descriptors contain the addresses that the system calls take: this process's virtual addresses.
    public var addressing: EngineAddressing { .cpu }
    public private(set) var capabilities: Capabilities

    /// The entries of the ring. Those from `head` on are in use; those before `issued` may run. The three numbers only
    /// increase, modulo 2³².
    private var queue: [Transfer?]
    private var head: UInt32 = 0
    private var issued: UInt32 = 0
    private var tail: UInt32 = 0
    private var isPaused = false
    private var settings: ProcessMemorySettings
    /// The number of calls, and of those that moved less than requested.
    private var calls: UInt64 = 0
    private var partialCalls: UInt64 = 0
    private var misdirection: TransactionStatus?

    /// An engine with at most `depth` transactions in flight, 1 to 32,768, rounded up to a power of two.
    ///
    /// - Throws: `kernelRefused` with errno where the kernel does not permit the calls, which ``Refusal`` explains; `badConfiguration`.
    public init(depth: Int = 64, settings: ProcessMemorySettings = ProcessMemorySettings()) throws(DMAError) {
        var places = 1
        while places < min(max(depth, 1), 32_768) { places *= 2 }
        queue = Array(repeating: nil, count: places)
        self.settings = settings
        capabilities = Self.capabilities(depth: places)
        try apply(settings)
        try Self.probe(settings.call)
    }

    /// The capabilities of an engine with the default depth and settings, without making one.
    public static var offeredCapabilities: Capabilities { capabilities(depth: 64) }

    private static func capabilities(depth: Int) -> Capabilities {
        var capabilities = Capabilities(
            name: "process-memory", implementation: "process_vm_writev", operations: [.copy, .scatterGather, .null],
            depth: depth)
        // One transaction ends before the next begins, which is what a fence requires.
        capabilities.flags = [.fence]
        // A list of IOV_MAX entries for each side.
        capabilities.maximumSegments = 1024
        capabilities.residueGranularity = .burst
        capabilities.canPause = true
        capabilities.worksInPoll = true
        return capabilities
    }

    /// Moves one byte, so that a refusal is detected before there is work.
    private static func probe(_ call: ProcessMemorySettings.Call) throws(DMAError) {
        var bytes: (UInt8, UInt8) = (1, 0)
        // SAFETY: both addresses are bytes of a local variable, which is not used otherwise until the call has returned.
        let result = unsafe withUnsafeMutableBytes(of: &bytes) { bytes in
            let address = UInt64(UInt(bitPattern: bytes.baseAddress))
            return unsafe Kernel.move(
                call, from: [Segment(address: address, count: 1)], to: [Segment(address: address + 1, count: 1)])
        }
        guard result == 1, bytes.1 == 1 else {
            throw DMAError(.kernelRefused, errno: Int32(clamping: result < 0 ? 0 - result : 0))
        }
    }

    // MARK: Work

    // snippet: engine-enqueue
    @unsafe
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard tail &- head < UInt32(queue.count) else { return .full }
        switch descriptor.kind {
        case .copy, .scatterGather, .null: break
        default: return .refused(DMAError(.unsupportedOperation))
        }
        queue[place(tail)] = Transfer(misdirected(descriptor), tag: tag)
        tail &+= 1
        return .accepted
    }

    public mutating func issuePending() { issued = tail }

    /// Makes one call for the first transaction, and reports that when it has ended.
    public mutating func next() -> Completion? {
        guard !isPaused, head != issued, var transfer = queue[place(head)] else { return nil }
        if !transfer.isOver {
            calls &+= 1
            let wanted = min(transfer.residue, settings.quantum)
            let before = transfer.residue
            // SAFETY: this transaction was issued and is not reported, so that its addresses are valid by the contract of `enqueue`.
            if case .failed(let status, let errno) = unsafe transfer.step(settings.call, quantum: settings.quantum) {
                head &+= 1
                return Completion(
                    tag: transfer.tag, status: status, deviceStatus: UInt32(bitPattern: errno), residue: transfer.residue)
            }
            if before - transfer.residue < wanted { partialCalls &+= 1 }
            queue[place(head)] = transfer
        }
        guard transfer.isOver else { return nil }
        head &+= 1
        return Completion(tag: transfer.tag)
    }
    // end

    private func place(_ number: UInt32) -> Int { Int(number) & (queue.count - 1) }

    // MARK: Control

    /// Nothing runs between two polls: dropped work has stopped. The entries are kept, because the channel queries the residue
    /// of transactions that it ends as aborted.
    public mutating func terminate() {
        (head, issued) = (tail, tail)
        isPaused = false
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool { true }

    public mutating func pause() -> Bool {
        isPaused = true
        return true
    }

    public mutating func resume() -> Bool {
        isPaused = false
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        for case let transfer? in queue where transfer.tag == tag { return transfer.residue }
        return nil
    }

    /// - Throws: `badConfiguration` for a quantum outside ``ProcessMemorySettings/quanta``.
    public mutating func apply(_ settings: ProcessMemorySettings) throws(DMAError) {
        guard ProcessMemorySettings.quanta.contains(settings.quantum) else {
            throw DMAError(.badConfiguration, asked: settings.quantum, limit: ProcessMemorySettings.quanta.upperBound)
        }
        self.settings = settings
        capabilities.quantum = settings.quantum
        capabilities.implementation = settings.call == .write ? "process_vm_writev" : "process_vm_readv"
    }

    public var figures: [EngineFigure] { [EngineFigure("calls", calls), EngineFigure("partialCalls", partialCalls)] }

    // MARK: Tests

    /// For tests: one side of the next transaction that is enqueued is an address that no process has mapped, the source for `readFailed`
    /// and the destination for `writeFailed`, so that the kernel itself fails it. Other statuses change nothing.
    public mutating func misdirectNext(_ status: TransactionStatus) { misdirection = status }

    private mutating func misdirected(_ descriptor: Descriptor) -> Descriptor {
        guard let status = misdirection, descriptor.kind == .copy else { return descriptor }
        misdirection = nil
        var descriptor = descriptor
        // In the first page, which the kernel does not let any process map (vm.mmap_min_addr).
        if status == .readFailed { descriptor.source = 8 }
        if status == .writeFailed { descriptor.destination = 8 }
        return descriptor
    }
}
