// SPDX-License-Identifier: Apache-2.0

/// How finely an engine knows what it has not moved yet: the kernel's `enum dma_residue_granularity` (rule 20).
@frozen
public enum ResidueGranularity: UInt8, Hashable, Sendable, CaseIterable {
    /// All or nothing.
    case descriptor
    /// After each segment or period.
    case segment
    /// After each burst.
    case burst
}

/// What a channel can do: the kernel's `dma_cap_mask_t` and `struct dma_slave_caps`. A client asks this, never what the engine is.
public struct Capabilities: Equatable, Sendable {
    /// What the engine is called in lists: "cpu", "nvme", "ioat".
    public var name: String
    /// Which code or silicon does the work, as `list` shows it: "isa-l, avx512", "portable".
    public var implementation: String
    /// What it does.
    public var operations: OperationSet
    /// What its peripherals can be told with ``OperationKind/command``.
    public var commands: PeripheralCommandSet
    /// Which flags it honours itself; a fence the channel keeps for engines that do not.
    public var flags: DescriptorFlags
    /// Transactions in flight at once; 1…32,768.
    public var depth: Int
    /// XOR and PQ sources in one transaction; at most 32 for PQ.
    public var maximumSources: Int
    /// Segments on both sides of one transaction together.
    public var maximumSegments: Int
    /// Bytes in one transaction.
    public var maximumCount: UInt64
    /// Addresses are multiples of this. Bytes, a power of two.
    public var alignment: UInt64
    /// Lengths are multiples of this. Bytes, a power of two; 0, as it is unless an engine says otherwise: of the alignment.
    public var lengthUnit: UInt64
    /// What satisfies both as an address and as a length. Bytes.
    package var unit: UInt64 { max(alignment, lengthUnit) }
    /// Whether completions come in the order of submission (rule 9).
    public var completesInOrder: Bool
    /// How finely ``Channel/residue(of:)`` answers (rule 20).
    public var residueGranularity: ResidueGranularity
    /// Whether it can be paused and resumed (rule 19).
    public var canPause: Bool
    /// Whether a chain or ring may grow while it runs, without a restart between (rule 24).
    public var extendsWhileRunning: Bool
    /// Whether ``DescriptorFlags/interrupt`` wakes a waiter; where not, waiting polls.
    public var hasInterrupts: Bool
    /// Bits of a tag that come back in a completion: the low 16…32 of the 32 that the engine is given. What is left of them beside the slot's
    /// number tells a late completion from a current one. An engine that keeps something by tag keeps it by these bits.
    public var tagBits: Int
    /// Levels that a channel's priority can have; 1 where there is no choice.
    public var priorities: Int
    /// Bytes of metadata for each descriptor (rule 28); 0 where there is none, at most 64.
    public var metadataCount: Int
    /// Whether a pause, a termination or a large transfer acts within one quantum of this many bytes; 0 where the engine does not
    /// divide.
    public var quantum: UInt64
    /// Whether the work is done by the thread that polls: then its processor time is what a share of the time means, and time in which
    /// the thread had to wait for the processor counts for nobody.
    public var worksInPoll: Bool

    /// An engine that copies, one transaction at a time; to be widened.
    public init(name: String, implementation: String = "", operations: OperationSet = .copy, depth: Int = 1) {
        self.name = name
        self.implementation = implementation
        self.operations = operations
        self.depth = depth
        commands = []
        flags = []
        maximumSources = 1
        maximumSegments = 2
        maximumCount = .max
        alignment = 1
        lengthUnit = 0
        completesInOrder = true
        residueGranularity = .descriptor
        canPause = false
        extendsWhileRunning = false
        hasInterrupts = false
        tagBits = 32
        priorities = 1
        metadataCount = 0
        quantum = 0
        worksInPoll = false
    }
}
