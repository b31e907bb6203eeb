// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// Makes a plan from facts and options: rules, each with its reason, and no system call.
package struct CopyPlanner: Sendable {
    /// A smaller file is copied before a disk's queue is full, and is useful in the page cache. Bytes.
    static let worthDirect: UInt64 = 16 << 20
    /// A third of a common second-level cache, so that the write finds there what the read brought in. Not larger: for longer writes the page
    /// cache allocates folios of the same length, which takes eight times as long where memory is fragmented. Bytes.
    static let cacheChunk: UInt64 = 256 << 10
    /// Larger requests make no disk faster, and stopping takes longer. Bytes.
    static let diskChunk: UInt64 = 1 << 20
    /// Transfers in flight on a disk: at 1 MiB each, what a device with 8 GB/s transfers in 2 ms.
    static let diskDepth = 16

    /// A shorter cached file is copied before a second thread has made up for its start. Bytes.
    static let worthThread: UInt64 = 4 << 20
    /// Chunks that the second thread reads ahead: enough that neither thread waits for the other's short delays, few enough for their memory to
    /// stay in the cache that the processors share.
    static let aheadDepth = 8

    private let facts: CopyFacts
    private let options: CopyOptions
    private var plan = CopyPlan()

    private init(_ facts: CopyFacts, _ options: CopyOptions) {
        self.facts = facts
        self.options = options
    }

    /// The plan for these facts and options.
    ///
    /// - Throws: `badOption` for an option that cannot be followed here.
    package static func plan(_ facts: CopyFacts, _ options: CopyOptions) throws(CopyFailure) -> CopyPlan {
        try options.check()
        var planner = CopyPlanner(facts, options)
        try planner.decide()
        try planner.plan.check()
        return planner.plan
    }

    private mutating func because(_ name: String, _ reason: String) { plan.reasons[name] = reason }

    private var data: UInt64? { facts.source.data ?? facts.source.size }

    private mutating func decide() throws(CopyFailure) {
        decidePublishing()
        try decideChecks()
        decideAccess()
        try decideMode()
        try decidePath()
        decideTransfers()
        decideHoles()
        plan.flushes = options.flushes && facts.target.kind?.hasPlaces == true
        because(
            "flushes",
            plan.flushes
                ? "the copy ends when the medium has the data"
                : options.flushes ? "the target is not storage" : "turned off: the kernel writes the data back later")
    }

    private mutating func decidePublishing() {
        guard facts.target.kind == .regular else {
            plan.publishing = .none
            because("publishing", "the target is not a regular file, so it is written directly")
            return
        }
        switch options.treatment {
        case .replace:
            plan.publishing = .rename
            because(
                "publishing",
                "a new file is renamed over the target when it is complete: readers see the old file or the new one")
        case .inPlace:
            plan.publishing = .inPlace
            because("publishing", "requested: overwritten in place; a failed copy leaves a mixture of old and new data")
        case .append:
            plan.publishing = .append
            because(
                "publishing",
                "requested: written after the existing data; a failed copy is truncated again if no other process has written")
        case .resume:
            plan.publishing = .resume
            because(
                "publishing", "requested: an interrupted copy is kept in the target's directory with a journal, and continued")
        }
    }

    private mutating func decideChecks() throws(CopyFailure) {
        plan.verifies = options.verifies
        if options.verifies, facts.target.kind?.hasPlaces != true {
            throw CopyFailure(
                .badOption, "verifies", asked: "apply", possible: "only files and block devices can be read back",
                cure: "Leave it out, or copy to a file.")
        }
        plan.checksums = options.verifies || options.treatment == .resume
        because("verifies", options.verifies ? "requested: the target is read back from the medium" : "not requested")
        because(
            "checksums",
            options.treatment == .resume
                ? "resuming compares the existing data by it" : options.verifies ? "verification compares it" : "not needed")
    }

    private func access(_ side: CopyFacts.Side) -> CopyPlan.Access? {
        guard let kind = side.kind else { return .memory }
        return kind.hasPlaces ? nil : .stream
    }

    private mutating func decideAccess() {
        let size = data
        let amount = size.map(ByteSize.text) ?? "an unknown number of bytes"
        let isLarge = (size ?? 0) >= Self.worthDirect
        if let fixed = access(facts.source) {
            plan.source = fixed
            because(
                "source", fixed == .memory ? "held or generated in this process" : "cannot be positioned: read in order, once")
        } else if facts.source.size == nil {
            plan.source = .stream
            because("source", "the kernel reports no size (as for files in /proc): read to its end")
        } else if !isLarge {
            plan.source = .buffered
            because("source", "\(amount): below \(ByteSize.text(Self.worthDirect)) the page cache is faster")
        } else if facts.source.directAlignment == 0 {
            plan.source = .buffered
            because("source", "its file system does not support direct I/O")
        } else if facts.coldShare <= 0.5 {
            plan.source = .buffered
            because("source", "\(percent(1 - facts.coldShare)) of it is in the page cache")
        } else {
            plan.source = .direct
            because(
                "source",
                "\(percent(facts.coldShare)) of \(amount) must be read from the medium: direct I/O saves a copy through the page cache"
            )
        }
        if let fixed = access(facts.target) {
            plan.target = fixed
            because(
                "target", fixed == .memory ? "held or checked in this process" : "cannot be positioned: written in order, once")
        } else if !isLarge {
            plan.target = .buffered
            because("target", "\(amount): below \(ByteSize.text(Self.worthDirect)) the page cache is faster")
        } else if facts.target.directAlignment == 0 {
            plan.target = .buffered
            because("target", "its file system does not support direct I/O")
        } else if plan.publishing == .append {
            plan.target = .buffered
            because("target", "the end of the existing data need not be aligned for direct I/O")
        } else if options.flushes {
            plan.target = .direct
            because("target", "the data must reach the medium anyway: direct I/O saves a copy through the page cache")
        } else if let size, size > facts.freeMemory / 4 {
            plan.target = .direct
            because(
                "target",
                "\(amount) is more than a quarter of the free memory (\(ByteSize.text(facts.freeMemory))), too much to be left to write-back"
            )
        } else {
            plan.target = .buffered
            because("target", "flushing is turned off, and the page cache has room for \(amount)")
        }
    }

    private mutating func decideMode() throws(CopyFailure) {
        let isStream = plan.source == .stream && facts.source.kind != .regular || plan.target == .stream
        let mode = options.mode ?? (isStream ? .demand : .burst)
        if mode == .demand, !isStream {
            throw CopyFailure(
                .badOption, "mode", asked: "use \"demand\" as", possible: "neither side is a stream",
                cure: "Use burst or cycle-stealing; demand is for pipes, sockets and terminals.")
        }
        plan.mode = mode
        plan.share = mode == .cycleStealing ? options.share : 1
        because(
            "mode",
            options.mode != nil
                ? "requested"
                : isStream ? "a stream's data is passed on as soon as it arrives" : "the default: as fast as possible")
    }

    private mutating func decidePath() throws(CopyFailure) {
        plan.reflink = options.reflink
        because("reflink", options.reflink == .auto ? "where the file system supports it" : "requested")
        if options.reflink == .always {
            guard facts.source.kind == .regular, facts.target.kind == .regular, options.treatment == .replace else {
                throw CopyFailure(
                    .badOption, "reflink", asked: "apply",
                    possible: "only a regular file and a new file can share blocks", cure: "Leave it out.")
            }
            return choose(.reflink, "shared blocks were requested")
        }
        if let wish = options.engine { return try chooseEngine("an engine was requested", wish) }
        let isWhole = options.treatment == .replace && options.mode == nil && options.rate == nil && !options.verifies
        if options.reflink == .auto, isWhole, facts.mayShareBlocks, (data ?? 0) > 0,
            let name = Self.sharing[facts.source.fileSystem]
        {
            return choose(.reflink, "files on one \(name) file system can share blocks")
        }
        if plan.source == .memory, plan.target == .memory { return choose(.memory, "neither side is a file") }
        if (options.depth ?? 1) > 1 { return try chooseEngine("several transfers in flight need an engine", nil) }
        if options.mode == .cycleStealing { return try chooseEngine("cycle stealing needs an engine", nil) }
        let pipes = [facts.source.kind, facts.target.kind].contains(.pipe)
        let spliceable: Set<FileKind?> = [.pipe, .regular, .block]
        if pipes, !plan.checksums, facts.source.size != nil || facts.source.kind == .pipe, options.chunk == nil,
            plan.publishing != .append, spliceable.isSuperset(of: [facts.source.kind, facts.target.kind])
        {
            if plan.source == .direct { plan.source = .buffered }
            if plan.target == .direct { plan.target = .buffered }
            for (name, access) in [("source", plan.source), ("target", plan.target)] where access == .buffered {
                because(name, "splice(2) moves pages of the page cache")
            }
            return choose(.splice, "splice(2) moves pages through the pipe; the data does not pass through this process")
        }
        if plan.source == .direct || plan.target == .direct {
            return try chooseEngine("direct I/O needs several transfers in flight to keep a disk busy", nil)
        }
        let areFiles = facts.source.kind == .regular && facts.target.kind == .regular
        if areFiles, facts.source.size == nil { return choose(.readWrite, "a file without a reported size is read to its end") }
        if areFiles, !plan.checksums, facts.isSameFileSystem, options.reflink != .never, plan.publishing != .append,
            let name = Self.copying[facts.source.fileSystem]
        {
            return choose(.inKernel, "\(name): copy_file_range(2) lets the server of the file system copy the data")
        }
        if areFiles {
            return choose(
                .readWrite,
                "both files are accessed through the page cache; copy_file_range(2) would copy them with one processor")
        }
        try chooseEngine("one side is not a regular file", nil)
    }

    private mutating func choose(_ path: CopyPlan.Path, _ reason: String) {
        plan.path = path
        because("path", reason)
        because("engine", "this path uses none")
    }

    private mutating func chooseEngine(_ reason: String, _ wish: String?) throws(CopyFailure) {
        plan.path = .engine
        because("path", reason)
        guard let name = wish ?? facts.engine else {
            throw CopyFailure(
                .notSupported, "engine", asked: "find an", possible: "no engine here can read and write files",
                cure: "The list of engines says why each is absent.")
        }
        plan.engine = name
        because("engine", wish == nil ? "the first engine that can read and write files" : "requested")
    }

    private mutating func decideTransfers() {
        let isDirect = plan.source == .direct || plan.target == .direct
        var chunk = isDirect ? Self.diskChunk : Self.cacheChunk
        var reason =
            isDirect
            ? "large enough to keep a disk at its full rate, small enough to stop quickly"
            : "fits in the processor's second-level cache"
        let limit = [facts.source.largestRequest, facts.target.largestRequest].filter { $0 > 0 }.min()
        if isDirect, let limit, limit < chunk {
            chunk = max(limit & ~(facts.page - 1), Self.cacheChunk)
            reason = "the device accepts at most \(ByteSize.text(limit)) in one request"
        }
        if plan.path == .inKernel || plan.path == .splice {
            chunk = plan.path == .inKernel ? 16 << 20 : 1 << 20
            reason = "for one system call: short enough to stop quickly"
        }
        if let wish = options.chunk {
            chunk = wish
            reason = "requested"
        }
        plan.chunk = chunk
        because("chunk", reason)
        guard plan.path == .engine else {
            decideReadAhead()
            plan.staging = plan.path == .readWrite || plan.path == .memory ? "pool" : "none"
            because("staging", plan.staging == "pool" ? "one block" : "the data does not pass through this process")
            because("registered", "only an engine registers memory")
            return
        }
        var depth = isDirect ? Self.diskDepth : 4
        reason =
            isDirect
            ? "keeps the disk busy while completed transfers are handled" : "some blocks are read while others are written"
        if plan.mode == .demand {
            depth = 2
            reason = "one block is received while another is sent"
        }
        // An eighth of the free memory leaves enough for other processes.
        let room = max(facts.freeMemory / 8, chunk) / chunk
        if UInt64(depth) > room {
            depth = Int(room)
            reason = "limited to an eighth of the free memory"
        }
        if let size = data, size > 0, (size - 1) / chunk + 1 < UInt64(depth) {
            depth = Int((size - 1) / chunk) + 1
            reason = "the data has no more chunks"
        }
        if let wish = options.depth {
            depth = wish
            reason = "requested"
        }
        plan.depth = depth
        because("depth", reason)
        because("staging", "blocks of one mapping, leased for each transfer")
        let bytes = chunk * UInt64(depth)
        plan.registered = facts.lockable >= bytes
        because(
            "registered",
            plan.registered
                ? "pages are pinned once, not for each transfer"
                : "\(ByteSize.text(bytes)) is more than RLIMIT_MEMLOCK leaves (\(ByteSize.text(facts.lockable)))")
    }

    /// Whether a second thread reads a cached file while the first one writes.
    private mutating func decideReadAhead() {
        plan.depth = 1
        guard plan.path == .readWrite, facts.source.kind == .regular, let data, data >= Self.worthThread else {
            return because("depth", "one transfer at a time")
        }
        guard options.depth == nil else { return because("depth", "requested") }
        guard facts.processors > 1 else {
            return because("depth", "one transfer at a time: this process may use one processor")
        }
        guard options.rate == nil else { return because("depth", "one transfer at a time: the rate is the limit") }
        plan.depth = Self.aheadDepth
        because("depth", "a second thread reads ahead while the first one writes")
    }

    private mutating func decideHoles() {
        plan.preallocates = plan.target == .direct && plan.publishing != .none && plan.path == .engine
        because(
            "preallocates",
            plan.preallocates
                ? "a full disk is noticed at the start, and writes do not extend the file"
                : "space is allocated as data is written")
        guard facts.source.kind == .regular, let size = facts.source.size else {
            plan.holes = .none
            because("holes", "the source does not report holes")
            return
        }
        let hasHoles = facts.source.hasHoles ?? ((facts.source.data ?? size) < size)
        let canKeep = facts.target.kind == .regular && plan.publishing != .append
        if plan.path == .reflink {
            plan.holes = .keep
            because("holes", "shared like the blocks")
        } else if hasHoles {
            plan.holes = canKeep ? .keep : .write
            because(
                "holes",
                canKeep ? "found by SEEK_DATA, and holes in the target too" : "the target cannot have holes: zeros are written")
        } else {
            plan.holes = .none
            because("holes", "the source has none")
        }
    }

    private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    /// File systems whose server copies by itself for copy_file_range(2). Source: linux/magic.h; nfs(5), mount.cifs(8).
    static let copying: [UInt64: String] = [
        0x6969: "nfs", 0xff53_4d42: "cifs", 0xfe53_4d42: "smb", 0x00c3_6400: "ceph", 0x6573_5546: "fuse",
    ]

    /// File systems whose files can share blocks, by the magic number of statfs(2). Source: linux/magic.h; the documentation of
    /// each for FICLONE.
    static let sharing: [UInt64: String] = [
        0x9123_683E: "btrfs", 0x5846_5342: "xfs", 0xca45_1a4e: "bcachefs", 0x7461_636f: "ocfs2", 0x2fc1_2fc1: "zfs",
        0x794c_7630: "overlayfs",
    ]
}
