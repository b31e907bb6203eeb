// SPDX-License-Identifier: Apache-2.0

/// Keeps writes through the page cache and writes past it apart on one file.
///
/// A direct write drops the cached pages of its range; where somebody makes them dirty meanwhile, through the rest of a page or of a
/// large folio, one of the two is lost or the kernel reports an error at the next flush. So the two kinds take turns, and a
/// transaction that is of both has the file's writes to itself. While no write goes through the cache the gate is open and costs
/// nothing.
struct WriteGate {
    enum Kind: UInt8 {
        /// Past the cache as a whole, or through it as a whole.
        case direct, buffered
        /// Head and tail through the cache.
        case mixed
    }

    /// Transactions that run, of each kind.
    private var direct = 0
    private var buffered = 0
    private var mixed = 0
    /// Transactions that wait, by slot, in order.
    private(set) var waiting: [Int] = []
    /// Whether every write comes by: not only those of the cold path.
    private(set) var isClosed = false

    var isIdle: Bool { direct == 0 && buffered == 0 && mixed == 0 && waiting.isEmpty }

    /// From now on every write comes by; `running` direct ones are under way.
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

    /// Whether a transaction may start; where not, it waits.
    mutating func enter(_ slot: Int, _ kind: Kind) -> Bool {
        guard waiting.isEmpty, admits(kind) else {
            waiting.append(slot)
            return false
        }
        count(kind, 1)
        return true
    }

    mutating func leave(_ kind: Kind) { count(kind, -1) }

    /// Takes out one that will not run.
    mutating func forget(_ slot: Int) { waiting.removeAll { $0 == slot } }

    /// The next that may start, if it may now.
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
