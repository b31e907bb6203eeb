// SPDX-License-Identifier: Apache-2.0

import DMACore

/// The parameters of a data test that are fixed instead of random: those of the kernel's dmatest.
///
/// Source: Documentation/driver-api/dmaengine/dmatest.rst, drivers/dma/dmatest.c (module parameters).
public struct DataChoice: Hashable, Sendable, Codable {
    /// Sources of XOR; nil for any number that the engine supports: `xor_sources`.
    public var xorSources: Int?
    /// Sources of PQ: `pq_sources`.
    public var pqSources: Int?
    /// Offsets and lengths are multiples of this many bytes, a power of two; nil for the engine's own unit: 2 to the power of
    /// `alignment`.
    public var alignment: Int?
    /// Bytes of each transfer; nil for any number up to the maximum: `transfer_size`.
    public var transferBytes: Int?
    /// Whether lengths and offsets are random; otherwise transfers have the maximum length and begin at 0: `norandom`.
    public var isRandom = true
    /// Whether data is compared: `noverify`. Only ``Survey`` can skip it; a conformance check always compares.
    public var verifies = true
    /// Whether to poll for completions without ever sleeping; otherwise a thread that has polled for 50 µs sleeps until the
    /// interrupt, where the engine has interrupts: `polled`.
    public var polls = false

    /// Everything random, everything verified.
    public init() {}

    /// The number of sources of an operation of this kind; nil for any number.
    func sources(_ kind: OperationKind) -> Int? { kind == .pq || kind == .pqValidate ? pqSources : xorSources }
}

extension SuiteRun where E: ~Copyable {
    /// The parameters, in units that the engine supports.
    private var choice: DataChoice { suite.choice }

    /// The unit of addresses and lengths.
    var unit: Int {
        max(Int(clamping: capabilities.alignment), Int(clamping: suite.domain.constraints.alignment), choice.alignment ?? 1)
    }

    /// A length with a uniformly distributed logarithm, a multiple of the unit; or the fixed one.
    func length(atMost limit: Int? = nil) -> Int {
        let limit = max(limit ?? largest, unit)
        if let chosen = choice.transferBytes { return max(min(chosen, limit) / unit * unit, unit) }
        guard choice.isRandom else { return limit / unit * unit }
        let bits = Int.bitWidth - limit.leadingZeroBitCount
        let ceiling = min(1 << random.int(0...bits), limit)
        let value = random.int(1...ceiling)
        return max(value / unit, 1) * unit
    }

    /// An offset into a region: often 0, sometimes any.
    func offset() -> Int {
        guard choice.isRandom else { return 0 }
        return random.once(in: 3) ? 0 : random.int(0...max(255 / unit, 1)) * unit
    }

    /// The number of sources that the engine supports, in addition to the destination's own contents.
    func sourceNumber(_ kind: OperationKind, continuing: Bool, atMost limit: Int = 32) -> Int {
        let most = max(min(max(capabilities.maximumSources, 1), limit) - (continuing ? 1 : 0), 1)
        if let number = choice.sources(kind) { return min(max(number, 1), most) }
        return random.int(1...most)
    }
}
