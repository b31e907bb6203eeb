// SPDX-License-Identifier: Apache-2.0

/// The granularity of an engine's residue: the kernel's `enum dma_residue_granularity` (rule 20).
@frozen
public enum ResidueGranularity: UInt8, Hashable, Sendable, CaseIterable {
    /// All or nothing.
    case descriptor
    /// After each segment or period.
    case segment
    /// After each burst.
    case burst
}

/// What a channel can do: the kernel's `dma_cap_mask_t` and `struct dma_slave_caps`. Clients check capabilities, never the kind
/// of engine.
public struct Capabilities: Equatable, Sendable {
    /// The engine's name in lists: "cpu", "nvme", "ioat".
    public var name: String
    /// The code or hardware that does the work, as `list` shows it: "isa-l, avx512", "portable".
    public var implementation: String
    /// The operations that it supports.
    public var operations: OperationSet
    /// The commands that its peripherals support with ``OperationKind/command``.
    public var commands: PeripheralCommandSet
    /// The flags that it honours itself; for engines without fences the channel keeps them.
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
    /// Lengths are multiples of this. Bytes, a power of two; 0, the default, means the alignment.
    public var lengthUnit: UInt64
    /// The unit that satisfies both `alignment` and `lengthUnit`. Bytes.
    package var unit: UInt64 { max(alignment, lengthUnit) }
    /// Whether completions come in the order of submission (rule 9).
    public var completesInOrder: Bool
    /// The granularity of ``Channel/residue(of:)`` (rule 20).
    public var residueGranularity: ResidueGranularity
    /// Whether it can be paused and resumed (rule 19).
    public var canPause: Bool
    /// Whether a chain or ring may grow while it runs, without a restart (rule 24).
    public var extendsWhileRunning: Bool
    /// Whether ``DescriptorFlags/interrupt`` wakes a waiter; without it, waiting polls.
    public var hasInterrupts: Bool
    /// Bits of a tag that come back in a completion: the low 16…32 of the 32 that the engine receives. The bits above the
    /// slot's number tell a late completion from a current one. An engine that stores state by tag uses these bits as the key.
    public var tagBits: Int
    /// Priority levels of a channel; 1 where there is no choice.
    public var priorities: Int
    /// Bytes of metadata for each descriptor (rule 28); 0 where there is none, at most 64.
    public var metadataCount: Int
    /// Whether a pause, a termination or a large transfer acts within one quantum of this many bytes; 0 where the engine does not
    /// divide.
    public var quantum: UInt64
    /// Whether the polling thread does the work. A share of the time then means the thread's processor time, and time that the
    /// thread spent waiting for a processor is not counted.
    public var worksInPoll: Bool

    /// The capabilities of an engine that only copies, one transaction at a time; set the properties of what it can do beyond
    /// that.
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
