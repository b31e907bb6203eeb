// SPDX-License-Identifier: Apache-2.0

/// A transaction, and how far it is.
struct EDUJob {
    var tag: UInt32 = 0
    var source: UInt64 = 0
    var destination: UInt64 = 0
    var count: UInt64 = 0
    var done: UInt64 = 0
    var asksInterrupt = false
}

/// A ring of jobs: those before `issued` may run, those behind are queued. Positions count without end.
struct EDUQueue {
    private var jobs: [EDUJob]
    private let mask: UInt32
    private(set) var head: UInt32 = 0
    private(set) var issued: UInt32 = 0
    private(set) var tail: UInt32 = 0

    /// - Parameter depth: a power of two.
    init(depth: Int) {
        jobs = Array(repeating: EDUJob(), count: depth)
        mask = UInt32(depth - 1)
    }

    var isFull: Bool { tail &- head > mask }
    var hasIssued: Bool { head != issued }

    mutating func append(_ job: EDUJob) {
        jobs[Int(tail & mask)] = job
        tail &+= 1
    }
    mutating func issue() { issued = tail }

    /// The job that runs, or is to run next.
    var first: EDUJob {
        get { jobs[Int(head & mask)] }
        set { jobs[Int(head & mask)] = newValue }
    }
    mutating func removeFirst() { if hasIssued { head &+= 1 } }

    /// Whether one that was issued asks for an interrupt.
    var asksInterrupt: Bool {
        var place = head
        while place != issued {
            if jobs[Int(place & mask)].asksInterrupt { return true }
            place &+= 1
        }
        return false
    }

    /// Bytes not moved of the job of that tag, where it is still known: dropped jobs are, until another takes their place.
    func residue(of tag: UInt32) -> UInt64? {
        jobs.first { $0.tag == tag && $0.count > 0 }.map { $0.count - min($0.done, $0.count) }
    }

    mutating func drop() { (head, issued) = (tail, tail) }
}
