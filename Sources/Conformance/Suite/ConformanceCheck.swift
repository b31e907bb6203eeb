// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import DMAEngineKit

/// One row of the suite: a rule of the contract, an operation, or a property that belongs to no single rule. Raw values are
/// stable.
public enum ConformanceCheck: String, Hashable, Sendable, Codable, CaseIterable {
    case rule01, rule02, rule03, rule04, rule05, rule06, rule07, rule08, rule09, rule10
    case rule11, rule12, rule13, rule14, rule15, rule16, rule17, rule18, rule19, rule20
    case rule21, rule22, rule23, rule24, rule25, rule26, rule27, rule28, rule29, rule30
    case rule31, rule32, rule33, rule34, rule35, rule36, rule37, rule38, rule39
    case copy, fill, crc32c, copyCRC32C, xor, xorValidate, pq, pqValidate, scatterGather, peripheral, interleaved, cyclic, null
    /// Commands to a peripheral, and their effects.
    case command
    case batches, deadlines, awaiting, cancellation, cargoes, erased

    /// The operation that the row tests, or nil.
    public var operation: OperationKind? { OperationKind(name: rawValue) }

    /// A short description.
    public var title: String {
        switch self {
        case .rule01: "a channel's end returns everything, and another can follow"
        case .rule02: "configuration applies to later transactions only"
        case .rule03: "prepare refuses bad input with a reason, and returns the cargo"
        case .rule04: "a dropped transaction unmaps its memory"
        case .rule05: "submit starts nothing"
        case .rule06: "from submit to completion the channel owns the cargo"
        case .rule07: "issuePending starts what is queued; the rest runs in order"
        case .rule08: "cookies are positive, increasing, and end with their completion"
        case .rule09: "completions come in the declared order"
        case .rule10: "states: queued, in progress, paused, complete, aborted"
        case .rule11: "callbacks run in the deferred context, once each"
        case .rule12: "a callback submits more work"
        case .rule13: "a completion carries result and residue"
        case .rule14: "interrupts for transactions with the flag, for no others"
        case .rule15: "the next transaction does not wait for a callback"
        case .rule16: "terminated transactions are aborted, exactly once"
        case .rule17: "terminateAsync does not wait; terminateSync in a callback is an error"
        case .rule18: "terminated memory is returned after synchronize, and stays unchanged"
        case .rule19: "a pause loses nothing; resume only while paused"
        case .rule20: "residues match their granularity and never increase"
        case .rule21: "a residue belongs to its own cookie"
        case .rule22: "cyclic runs until terminated; overruns are counted"
        case .rule23: "interleaved: increments, scatter and gather flags on either side"
        case .rule24: "a running chain is extended; no transaction is lost or run twice"
        case .rule25: "a descriptor is kept until its completion is taken; reuse where supported"
        case .rule26: "a fence orders later transactions"
        case .rule27: "XOR and PQ: continue, disable, and which of P and Q failed"
        case .rule28: "metadata: one descriptor, one mode, one lifetime"
        case .rule29: "the engine uses only bus addresses of its own domain"
        case .rule30: "memory beyond the mask is bounced, or refused"
        case .rule31: "a refused mapping returns the buffer, which is used elsewhere"
        case .rule32: "a merged scatter list is moved completely"
        case .rule33: "each mapping ends once, after the transfer"
        case .rule34: "the mapping's direction limits the engine's access"
        case .rule35: "sync before and after a transfer; ranges are checked"
        case .rule36: "no cache line is shared on a device that is not coherent"
        case .rule37: "coherent memory, released before it is read"
        case .rule38: "a pool's blocks are aligned, and all are returned"
        case .rule39: "segment limits apply; bounces are copied and counted"
        case .copy: "copies of random size and offset"
        case .fill: "fills with a pattern of eight bytes"
        case .crc32c: "CRC32C, also in parts"
        case .copyCRC32C: "copies with the CRC32C of the copied bytes"
        case .xor: "XOR of 1 to the maximum number of sources, continued and in place"
        case .xorValidate: "XOR validation, both outcomes"
        case .pq: "P and Q, continued, without P, without Q"
        case .pqValidate: "P and Q validation, each failure distinguished"
        case .scatterGather: "lists of unequal segments"
        case .peripheral: "lists to and from a peripheral"
        case .interleaved: "frames with gaps"
        case .cyclic: "a ring of periods, captured and played"
        case .null: "a descriptor that moves nothing"
        case .command: "commands to a peripheral: flush, allocate, discard, move"
        case .batches: "random kinds, sizes, depths and batches, verified in the order in which they end"
        case .deadlines: "a met deadline is not reported, a missed one is reported once"
        case .awaiting: "await, with and without interrupts"
        case .cancellation: "cancellation at every point loses no cargo"
        case .cargoes: "blocks, pairs and scatter lists as cargo"
        case .erased: "the same engine behind AnyEngine"
        }
    }

    /// Whether it waits for interrupts.
    var needsWakeUps: Bool { [.rule14, .awaiting, .cancellation].contains(self) }

    /// The number of the contract's rule, or nil for the other rows.
    public var rule: Int? { rawValue.hasPrefix("rule") ? Int(rawValue.dropFirst(4)) : nil }
}
