// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACPUEngine
internal import DMACore

// Collects the facts about the endpoints and the machine that CopyPlanner decides by.

extension CopyFacts {
    /// - Parameters:
    ///   - folder: the directory of a target that is a file.
    ///   - engine: the engine that would be used.
    ///   - mayBePlain: whether no option requires an engine. A small file is then copied through the page cache, and the facts for a plan with
    ///     direct I/O are not collected: for many small files that would take longer than the copies.
    init(
        _ source: CopySource, _ target: TargetSite, _ folder: TargetFolder?, engine: String?, mayBePlain: Bool
    ) throws(CopyFailure) {
        self.init()
        self.engine = engine
        page = UInt64(cdma_page_size())
        processors = Placement.allowedCount
        var isPlain = false
        if mayBePlain, case .file = target, source.facts?.kind == .regular, let size = source.size {
            isPlain = size < CopyPlanner.worthDirect
        }
        self.source = Side(source, isPlain: isPlain)
        self.target = try Side(target, folder, isPlain: isPlain)
        guard !isPlain else { return }
        // What the control group leaves, where it has a limit; 256 MiB where it is not known.
        let budget = MemoryBudget.current
        freeMemory = budget.source == nil ? 256 << 20 : budget.available
        // Root may lock any amount: CAP_IPC_LOCK.
        lockable = cdma_effective_user() == 0 ? .max : LockBudget.current.remaining
    }
}

extension CopyFacts.Side {
    init(_ source: CopySource, isPlain: Bool) {
        self.init(size: source.size)
        guard let file = source.file, let facts = source.facts else { return }
        kind = facts.kind
        device = facts.device
        fileSystem = source.fileSystem
        directAlignment = Self.directAlignment(file, facts, fileSystem)
        if !isPlain { largestRequest = Self.largestRequest(facts) }
        guard let size, facts.kind.hasPlaces else { return }
        data = facts.kind == .block ? size : min(size, facts.allocated)
        if facts.kind == .regular { hasHoles = Self.hasHoles(file, size) }
        if !isPlain { cachedBytes = Self.cached(file, size) }
    }

    init(_ target: TargetSite, _ folder: TargetFolder?, isPlain: Bool) throws(CopyFailure) {
        self.init()
        switch target {
        case .local: break
        case .stream(_, _, let facts):
            // A file that standard output is redirected to is written at its current offset: other processes may write to it too.
            kind = facts.kind.hasPlaces ? .character : facts.kind
        case .device(let path, let facts):
            kind = .block
            let file = try OpenFile(path, O_RDONLY, for: "look at")
            device = facts.special
            size = try file.size(facts)
            directAlignment = Self.directAlignment(file, facts, 0)
            largestRequest = Self.largestRequest(facts)
        case .file(let site):
            kind = .regular
            let folder = if let folder { folder } else { try TargetFolder(site.directory) }
            device = folder.facts.device
            fileSystem = folder.fileSystem
            size = site.existing?.size
            if !isPlain { largestRequest = Self.largestRequest(folder.facts) }
            // A directory does not report alignments for direct I/O; an existing file does.
            if let existing = site.existing, existing.directOffsetAlignment > 0 {
                directAlignment = existing.directOffsetAlignment
            } else {
                directAlignment = Self.assumedAlignment(fileSystem)
            }
        }
    }

    /// Allocated blocks do not tell: there may be blocks beyond the end, and compressed data needs fewer.
    private static func hasHoles(_ file: OpenFile, _ size: UInt64) -> Bool? {
        let hole = cdma_seek(file.descriptor, 0, CDMA_SEEK_HOLE)
        return hole < 0 ? nil : UInt64(hole) < size
    }

    /// What positions and lengths of direct I/O must be multiples of; 0 where it is not supported. Kernels before 6.1 do not report it.
    static func directAlignment(_ file: OpenFile, _ facts: FileFacts, _ fileSystem: UInt64) -> UInt32 {
        // SAFETY: the C function writes a local variable.
        if facts.directOffsetAlignment > 0 { return facts.directOffsetAlignment }
        if facts.kind == .block {
            var sector: UInt32 = 0
            return unsafe cdma_block_sector(file.descriptor, &sector) == 0 ? sector : 0
        }
        return facts.kind == .regular ? assumedAlignment(fileSystem) : 0
    }

    /// ext4 and xfs support direct I/O in whole blocks on any disk. Source: linux/magic.h; open(2), O_DIRECT.
    private static func assumedAlignment(_ fileSystem: UInt64) -> UInt32 {
        fileSystem == 0xef53 || fileSystem == 0x5846_5342 ? 4096 : 0
    }

    private static func largestRequest(_ facts: FileFacts) -> UInt64 {
        let device = facts.kind == .block ? facts.special : facts.device
        let folder = "/sys/dev/block/" + BlockDevice.number(device)
        // A partition's queue is its disk's.
        let kilobytes =
            KernelText.number(folder + "/queue/max_sectors_kb") ?? KernelText.number(folder + "/../queue/max_sectors_kb") ?? 0
        return kilobytes < 1 << 40 ? kilobytes << 10 : 0
    }

    /// Bytes of the file that are in the page cache, or nil: cachestat(2), and mincore(2) before Linux 6.5.
    private static func cached(_ file: OpenFile, _ size: UInt64) -> UInt64? {
        // SAFETY: the C function writes two local variables.
        guard size > 0 else { return 0 }
        let page = UInt64(cdma_page_size())
        var pages: UInt64 = 0
        var dirty: UInt64 = 0
        if unsafe cdma_cache_state(file.descriptor, 0, size, &pages, &dirty) == 0 {
            return pages.multipliedReportingOverflow(by: page).partialValue
        }
        // Sixteen samples at most, evenly spread.
        let window: UInt64 = 64 << 20
        let count = min((size - 1) / window + 1, 16)
        var seen: UInt64 = 0
        var resident: UInt64 = 0
        for sample in 0..<count {
            let offset = (size - 1) / window * sample / count * window
            let length = min(window, size - offset)
            let found = cdma_cached_pages(file.descriptor, offset, Int(length))
            guard found >= 0 else { return nil }
            seen += length
            resident += min(UInt64(found) * page, length)
        }
        return seen == 0 ? nil : UInt64(Double(size) * Double(resident) / Double(seen))
    }
}
