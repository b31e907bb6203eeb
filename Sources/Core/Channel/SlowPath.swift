// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAEngineKit

/// The reasons for which a channel is off its fast path.
@usableFromInline @frozen
struct SlowPath: OptionSet {
    @usableFromInline let rawValue: UInt8
    @usableFromInline init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Finished transactions, taken from the engine by `poll`, wait in the channel.
    @inlinable static var done: SlowPath { SlowPath(rawValue: 1) }
    /// A fence that the engine does not support holds later transactions back.
    @inlinable static var fence: SlowPath { SlowPath(rawValue: 2) }
    /// A transaction has a deadline, the reuse flag, or is cyclic: more of its record needs checking.
    @inlinable static var recorded: SlowPath { SlowPath(rawValue: 4) }
    /// Terminated and not yet synchronized: nothing is accepted.
    @inlinable static var terminating: SlowPath { SlowPath(rawValue: 8) }
    /// Every region is checked against the live mappings.
    @inlinable static var sanitize: SlowPath { SlowPath(rawValue: 16) }
    /// Each descriptor has a metadata area, which is cleared for it.
    @inlinable static var metadata: SlowPath { SlowPath(rawValue: 32) }
    /// The device is gone: nothing is accepted, and every wait ends.
    @inlinable static var gone: SlowPath { SlowPath(rawValue: 64) }
}

extension SlowPath {
    /// Whether completions are taken directly; the sanitizer and metadata affect only submissions.
    @inlinable
    var isSteady: Bool { isSubset(of: [.sanitize, .metadata]) }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Takes the channel off its fast path, for `reason`.
    @usableFromInline
    mutating func setSlow(_ reason: SlowPath) {
        slowPaths.insert(reason)
        table.ready = []
        if !slowPaths.isSteady { table.isSteady = false }
    }

    /// Removes `reason`; without any reason the channel is on its fast path again.
    @usableFromInline
    mutating func clearSlow(_ reason: SlowPath) {
        slowPaths.remove(reason)
        if slowPaths.isEmpty { table.ready = limits.operations }
        if slowPaths.isSteady { table.isSteady = true }
    }

    /// Whether the engine completes in order: a constant, unless it is known only at run time.
    @inlinable @inline(__always)
    var keepsOrder: Bool {
        switch E.order {
        case .inOrder: true
        case .outOfOrder: false
        case .dynamic: limits.keepsOrder
        }
    }

    /// Whether this process is a child of the one that made the channel.
    @usableFromInline
    var isForked: Bool { generation != cdma_fork_generation() }
}
