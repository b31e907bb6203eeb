// SPDX-License-Identifier: Apache-2.0

/// Where a buffer's memory comes from.
///
/// What was obtained may be less than what was asked, if ``AllocationPolicy/acceptsFallback`` allows that;
/// ``Buffer/backing`` tells.
public enum Backing: Hashable, Sendable {
    /// Anonymous pages of the system's base size. With `transparentHuge`, aligned to 2 MiB where the length allows it, and the
    /// kernel is advised to use huge pages (Documentation/admin-guide/mm/transhuge.rst).
    case pages(transparentHuge: Bool)
    /// Reserved huge pages of 2 MiB (Documentation/admin-guide/mm/hugetlbpage.rst).
    case huge2MiB
    /// Reserved huge pages of 1 GiB.
    case huge1GiB
    /// A memory file that other processes can be given (memfd_create(2)), sealed against any change of its size. `name` is
    /// what /proc shows; it need not be unique. With `huge`, on reserved huge pages of 2 MiB.
    case sharedMemory(name: String, huge: Bool = false)
    /// A dma-buf of the heap of that name in /dev/dma_heap ("system", "linux,cma" …): contiguous for devices if the heap is
    /// (Documentation/userspace-api/dma-buf-heaps.rst).
    case heap(String)
    /// Memory that somebody else allocated. Never asked for: only ``Buffer/init(importing:onRelease:)`` makes it.
    case imported

    /// Binary logarithm of the size of the huge pages that are asked for, or 0.
    var hugeShift: UInt32 {
        switch self {
        case .huge2MiB, .sharedMemory(name: _, huge: true): 21
        case .huge1GiB: 30
        default: 0
        }
    }
}

/// Demands on a buffer's memory besides its length, alignment and source.
public struct AllocationPolicy: Equatable, Sendable {
    /// The whole buffer lies at or below this CPU address: for a device of a domain without translation whose mask is narrow
    /// (rule 30). Nil where any address will do.
    public var below: DMAMask?
    /// The pages are locked in memory (mlock(2)) and count against RLIMIT_MEMLOCK.
    public var locked: Bool
    /// All pages are present when the initializer returns, so that no first touch costs time later.
    public var prefault: Bool
    /// Where huge pages or locked memory are not to be had, take base pages or unlocked memory instead of failing. The buffer
    /// says what it got.
    public var acceptsFallback: Bool

    /// - Parameters:
    ///   - below: the highest CPU address; nil for any.
    ///   - locked: lock the pages in memory.
    ///   - prefault: make all pages present at once.
    ///   - acceptsFallback: take base pages or unlocked memory rather than fail.
    public init(below: DMAMask? = nil, locked: Bool = false, prefault: Bool = false, acceptsFallback: Bool = false) {
        self.below = below
        self.locked = locked
        self.prefault = prefault
        self.acceptsFallback = acceptsFallback
    }
}
