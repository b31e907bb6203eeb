// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// How a CPU engine is set up.
public struct CPUConfiguration: Sendable {
    /// Transactions in flight; 1…32,768.
    public var depth: Int
    /// Threads for large work, and for whatever asks for an interrupt. 0 does everything inside `next()`, in order, with no
    /// thread at all; at most 256.
    public var workers: Int
    /// The CPUs that the workers are pinned to, one each, in turn. Empty leaves them where the kernel puts them.
    public var cpus: [Int]
    /// The NUMA node whose CPUs the workers may use, where `cpus` is empty.
    public var node: Int?
    /// With workers: transactions of no more bytes are still done inside `next()`. Bytes.
    public var inlineLimit: Int
    /// Large work is done in pieces of this many bytes: one for each call of `next()`, or at a time by a worker. A pause or a
    /// termination takes effect between two. 4 KiB…1 GiB, brought up to a multiple of 64.
    public var quantum: Int
    /// How long a worker with nothing to do looks for more before it sleeps. Nanoseconds; 0 sleeps at once.
    public var spin: Int64
    /// Which code moves the bytes, and from what length copies go past the cache. Where none were chosen, the best of this processor:
    /// the first in a process who asks for them, or starts an engine, waits up to 50 ms while they are measured.
    public var kernels: Kernels {
        get { chosenKernels ?? .best }
        set { chosenKernels = newValue }
    }
    private var chosenKernels: Kernels?
    /// What the channel's `configure` can choose as its peripheral, by position.
    public var peripherals: [FIFOPeripheral]

    /// Everything inside `next()`, no peripheral, and the best kernels where none are given.
    public init(depth: Int = 64, workers: Int = 0, kernels: Kernels? = nil) {
        self.depth = depth
        self.workers = workers
        cpus = []
        node = nil
        inlineLimit = 64 << 10
        quantum = 256 << 10
        spin = 10_000
        chosenKernels = kernels
        peripherals = []
    }

    /// - Throws: `badConfiguration` for the first value that is out of its range.
    func checked() throws(DMAError) -> CPUConfiguration {
        guard depth >= 1, depth <= 32_768 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: depth), limit: 32_768)
        }
        guard workers >= 0, workers <= 256 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: workers), limit: 256)
        }
        guard quantum >= 4096, quantum <= 1 << 30 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: quantum), limit: 1 << 30)
        }
        guard inlineLimit >= 0, spin >= 0 else {
            throw DMAError(.badConfiguration, asked: UInt64(clamping: min(Int64(inlineLimit), spin)), limit: .max)
        }
        var checked = self
        checked.quantum = (quantum + 63) & ~63
        // From here on the engine's capabilities say what was measured.
        checked.kernels = kernels
        return checked
    }

    /// What an engine of this configuration can do. Nothing is measured for it: where no kernels were chosen, the length from which copies
    /// go past the cache is known when an engine was started, and its own capabilities have it.
    public var capabilities: Capabilities {
        let code = chosenKernels?.description ?? Kernels.unmeasured
        var capabilities = Capabilities(
            name: "cpu", implementation: workers == 0 ? code : "\(code); \(workers) threads",
            operations: operations, depth: depth)
        capabilities.flags = [.fence, .interrupt, .reuse, .continue, .disableP, .disableQ]
        capabilities.maximumSources = Kernels.maximumSources
        capabilities.maximumSegments = 256
        capabilities.maximumCount = UInt64(Int.max)
        // Workers finish in whatever order the work takes (rule 9); inside `next()` there is but one order.
        capabilities.completesInOrder = workers == 0
        capabilities.residueGranularity = .burst
        capabilities.canPause = true
        capabilities.extendsWhileRunning = true
        capabilities.hasInterrupts = workers > 0
        capabilities.quantum = UInt64(quantum)
        capabilities.worksInPoll = workers == 0
        return capabilities
    }

    private var operations: OperationSet {
        var set: OperationSet = [
            .copy, .fill, .crc32c, .copyCRC32C, .xor, .xorValidate, .pq, .pqValidate, .scatterGather, .interleaved, .null,
        ]
        if !peripherals.isEmpty { set.formUnion([.peripheral, .cyclic]) }
        return set
    }
}
