// SPDX-License-Identifier: Apache-2.0

/// The source of a buffer's memory.
///
/// If ``AllocationPolicy/acceptsFallback`` allows it, the memory may come from a lesser source than requested;
/// ``Buffer/backing`` tells which.
public enum Backing: Hashable, Sendable {
    /// Anonymous pages of the system's base size. With `transparentHuge`, aligned to 2 MiB where the length allows it, and the
    /// kernel is advised to use huge pages (Documentation/admin-guide/mm/transhuge.rst).
    case pages(transparentHuge: Bool)
    /// Reserved huge pages of 2 MiB (Documentation/admin-guide/mm/hugetlbpage.rst).
    case huge2MiB
    /// Reserved huge pages of 1 GiB.
    case huge1GiB
    /// A memory file that can be passed to other processes (memfd_create(2)), sealed against any change of its size. `name`
    /// appears in /proc; it need not be unique. With `huge`, on reserved huge pages of 2 MiB.
    case sharedMemory(name: String, huge: Bool = false)
    /// A dma-buf from the heap of that name in /dev/dma_heap ("system", "linux,cma" …): contiguous for devices if the heap is
    /// (Documentation/userspace-api/dma-buf-heaps.rst).
    case heap(String)
    /// Memory allocated elsewhere. It cannot be requested: only ``Buffer/init(importing:onRelease:)`` makes it.
    case imported

    /// Binary logarithm of the requested huge page size, or 0.
    var hugeShift: UInt32 {
        switch self {
        case .huge2MiB, .sharedMemory(name: _, huge: true): 21
        case .huge1GiB: 30
        default: 0
        }
    }
}

/// Requirements on a buffer's memory beyond length, alignment and source.
public struct AllocationPolicy: Equatable, Sendable {
    /// The whole buffer lies at or below this CPU address: for a device in a domain without translation whose mask is narrow
    /// (rule 30). Nil for any address.
    public var below: DMAMask?
    /// The pages are locked in memory (mlock(2)) and count against RLIMIT_MEMLOCK.
    public var locked: Bool
    /// All pages are present when the initializer returns, so that no page faults occur later.
    public var prefault: Bool
    /// Where huge pages or locked memory are not available, use base pages or unlocked memory instead of failing. The buffer's
    /// properties tell which.
    public var acceptsFallback: Bool

    /// - Parameters:
    ///   - below: the highest CPU address; nil for any.
    ///   - locked: lock the pages in memory.
    ///   - prefault: make all pages present at once.
    ///   - acceptsFallback: use base pages or unlocked memory rather than fail.
    public init(below: DMAMask? = nil, locked: Bool = false, prefault: Bool = false, acceptsFallback: Bool = false) {
        self.below = below
        self.locked = locked
        self.prefault = prefault
        self.acceptsFallback = acceptsFallback
    }
}
