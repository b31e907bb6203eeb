// SPDX-License-Identifier: Apache-2.0

/// Separates buffered and direct writes to one file.
///
/// A direct write drops the cached pages of its range; if a buffered write dirties them meanwhile, through the rest of a page
/// or of a large folio, one of the two is lost or the kernel reports an error at the next flush. So the two kinds alternate,
/// and a transaction with both runs alone among the file's writes. While no write is buffered the gate is open and costs
/// nothing.
struct WriteGate {
    enum Kind: UInt8 {
        /// Entirely direct, or entirely buffered.
        case direct, buffered
        /// Direct with a buffered head or tail.
        case mixed
    }

    /// Running transactions of each kind.
    private var direct = 0
    private var buffered = 0
    private var mixed = 0
    /// Waiting transactions, by slot, in order.
    private(set) var waiting: [Int] = []
    /// Whether every write passes the gate, including those of the fast path.
    private(set) var isClosed = false

    var isIdle: Bool { direct == 0 && buffered == 0 && mixed == 0 && waiting.isEmpty }

    /// From now on every write passes the gate; `running` direct ones are in progress.
    mutating func close(running: Int) {
        isClosed = true
        direct = running
    }

    mutating func open() { isClosed = false }

    private func admits(_ kind: Kind) -> Bool {
        switch kind {
        case .direct: buffered == 0 && mixed == 0
        case .buffered: direct == 0 && mixed == 0
        case .mixed: direct == 0 && buffered == 0 && mixed == 0
        }
    }

    /// Whether a transaction may start; otherwise it waits.
    mutating func enter(_ slot: Int, _ kind: Kind) -> Bool {
        guard waiting.isEmpty, admits(kind) else {
            waiting.append(slot)
            return false
        }
        count(kind, 1)
        return true
    }

    mutating func leave(_ kind: Kind) { count(kind, -1) }

    /// Removes one that will not run.
    mutating func forget(_ slot: Int) { waiting.removeAll { $0 == slot } }

    /// The next transaction that may start, if it may start now.
    mutating func admit(_ kind: (Int) -> Kind) -> Int? {
        guard let first = waiting.first, admits(kind(first)) else { return nil }
        count(kind(first), 1)
        waiting.removeFirst()
        return first
    }

    private mutating func count(_ kind: Kind, _ step: Int) {
        switch kind {
        case .direct: direct = max(direct + step, 0)
        case .buffered: buffered = max(buffered + step, 0)
        case .mixed: mixed = max(mixed + step, 0)
        }
    }
}
