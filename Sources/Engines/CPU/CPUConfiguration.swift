// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// The settings of a CPU engine.
public struct CPUConfiguration: Sendable {
    /// Transactions in flight; 1…32,768.
    public var depth: Int
    /// The number of threads, which run large transactions and all those with the interrupt flag. With 0 everything runs inside
    /// `next()`, in order, without any thread; at most 256.
    public var workers: Int
    /// The CPUs that the workers are pinned to, one each, round robin. Empty leaves the placement to the kernel.
    public var cpus: [Int]
    /// The NUMA node whose CPUs the workers may use, where `cpus` is empty.
    public var node: Int?
    /// With workers: transactions of up to this many bytes still run inside `next()`, unless they have the interrupt or the
    /// fence flag, or follow a pending fence. Bytes.
    public var inlineLimit: Int
    /// Large transactions run in pieces of this many bytes: one per call of `next()`, or one at a time in a worker. A pause or
    /// a termination takes effect between two. 4 KiB…1 GiB, rounded up to a multiple of 64.
    public var quantum: Int
    /// How long an idle worker spins before it sleeps. Nanoseconds; 0 sleeps at once.
    public var spin: Int64
    /// The code that moves the bytes, and the length from which copies bypass the cache. By default the best for this
    /// processor: the first use in a process, or the first engine, waits up to 50 ms while it is measured.
    public var kernels: Kernels {
        get { chosenKernels ?? .best }
        set { chosenKernels = newValue }
    }
    private var chosenKernels: Kernels?
    /// The peripherals that the channel's `configure` selects by index.
    public var peripherals: [FIFOPeripheral]

    /// Everything runs inside `next()`, without peripherals, with the best kernels unless some are given.
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

    /// - Throws: `badConfiguration` for the first value that is out of range.
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
        // From here on the engine's capabilities include the measured value.
        checked.kernels = kernels
        return checked
    }

    /// The capabilities of an engine with this configuration. Nothing is measured for them: where no kernels were chosen, the
    /// length from which copies bypass the cache is known only after an engine was started, and is in its own capabilities.
    public var capabilities: Capabilities {
        let code = chosenKernels?.description ?? Kernels.unmeasured
        var capabilities = Capabilities(
            name: "cpu", implementation: workers == 0 ? code : "\(code); \(workers) threads",
            operations: operations, depth: depth)
        capabilities.flags = [.fence, .interrupt, .reuse, .continue, .disableP, .disableQ]
        capabilities.maximumSources = Kernels.maximumSources
        capabilities.maximumSegments = 256
        capabilities.maximumCount = UInt64(Int.max)
        // With workers, transactions complete in any order (rule 9); inside `next()` they complete in order.
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
