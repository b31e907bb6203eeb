// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits

/// Makes a plan from facts and wishes: rules, each with its reason, and no system call.
package struct CopyPlanner: Sendable {
    /// Below this a file is copied before a disk's queue is full, and stays useful in the cache. Bytes.
    static let worthDirect: UInt64 = 16 << 20
    /// A third of a common second-level cache: what one step brings in, the next finds there. And no larger: for longer writes the
    /// page cache looks for folios as long, which cost eight times as much where memory is in pieces. Bytes.
    static let cacheChunk: UInt64 = 256 << 10
    /// Beyond this a larger request makes no disk faster, and a stop takes longer. Bytes.
    static let diskChunk: UInt64 = 1 << 20
    /// Transfers in flight on a disk: at 1 MiB each, what a device of 8 GB/s moves in 2 ms.
    static let diskDepth = 16

    private let facts: CopyFacts
    private let options: CopyOptions
    private var plan = CopyPlan()

    private init(_ facts: CopyFacts, _ options: CopyOptions) {
        self.facts = facts
        self.options = options
    }

    /// The plan for these facts and wishes.
    ///
    /// - Throws: `badOption` where a wish cannot be followed here.
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
                ? "the copy is over when the medium has it"
                : options.flushes ? "the target is no storage" : "--no-sync: the kernel writes it back when it likes")
    }

    private mutating func decidePublishing() {
        guard facts.target.kind == .regular else {
            plan.publishing = .none
            because("publishing", "the target is no regular file: what is written stands")
            return
        }
        switch options.treatment {
        case .replace:
            plan.publishing = .rename
            because("publishing", "whoever looks finds the old file or the whole new one")
        case .inPlace:
            plan.publishing = .inPlace
            because("publishing", "asked for: overwritten in place; a failed copy leaves a mixture of old and new")
        case .append:
            plan.publishing = .append
            because(
                "publishing",
                "asked for: written after the existing data; a failed copy is truncated again if no other process has written")
        case .resume:
            plan.publishing = .resume
            because("publishing", "asked for: an interrupted copy is kept beside the target, with a journal, and resumed")
        }
    }

    private mutating func decideChecks() throws(CopyFailure) {
        plan.verifies = options.verifies
        if options.verifies, facts.target.kind?.hasPlaces != true {
            throw CopyFailure(
                .badOption, "verifies", asked: "follow", possible: "only files and block devices can be read back",
                cure: "leave it out, or copy into a file")
        }
        plan.checksums = options.verifies || options.treatment == .resume
        because("verifies", options.verifies ? "--verify: read back from the medium" : "not asked for")
        because(
            "checksums",
            options.treatment == .resume
                ? "--resume compares what is there by it" : options.verifies ? "--verify compares it" : "nobody asks for it")
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
            because("source", fixed == .memory ? "made in this process" : "read in order, once")
        } else if facts.source.size == nil {
            plan.source = .stream
            because("source", "the kernel gives it no size (as files of /proc): read until its end")
        } else if !isLarge {
            plan.source = .buffered
            because("source", "\(amount): below \(ByteSize.text(Self.worthDirect)) the cache serves better")
        } else if facts.source.directAlignment == 0 {
            plan.source = .buffered
            because("source", "its file system offers no direct I/O")
        } else if facts.coldShare <= 0.5 {
            plan.source = .buffered
            because("source", "\(percent(1 - facts.coldShare)) of it are in the page cache")
        } else {
            plan.source = .direct
            because("source", "\(percent(facts.coldShare)) of \(amount) come from the medium: past the cache costs no copy")
        }
        if let fixed = access(facts.target) {
            plan.target = fixed
            because("target", fixed == .memory ? "taken in this process" : "written in order, once")
        } else if !isLarge {
            plan.target = .buffered
            because("target", "\(amount): below \(ByteSize.text(Self.worthDirect)) the cache serves better")
        } else if facts.target.directAlignment == 0 {
            plan.target = .buffered
            because("target", "its file system offers no direct I/O")
        } else if plan.publishing == .append {
            plan.target = .buffered
            because("target", "--append begins anywhere in a page")
        } else if options.flushes {
            plan.target = .direct
            because("target", "it has to reach the medium anyway: past the cache costs no copy")
        } else if let size, size > facts.freeMemory / 4 {
            plan.target = .direct
            because("target", "\(amount) are more than the cache may keep dirty in \(ByteSize.text(facts.freeMemory)) free")
        } else {
            plan.target = .buffered
            because("target", "--no-sync, and the cache has room for \(amount)")
        }
    }

    private mutating func decideMode() throws(CopyFailure) {
        let isStream = plan.source == .stream && facts.source.kind != .regular || plan.target == .stream
        let mode = options.mode ?? (isStream ? .demand : .burst)
        if mode == .demand, !isStream {
            throw CopyFailure(
                .badOption, "mode", asked: "take \"demand\" as", possible: "neither side asks for bytes by itself",
                cure: "burst or cycle-stealing; demand is for pipes, sockets and terminals")
        }
        plan.mode = mode
        plan.share = mode == .cycleStealing ? options.share : 1
        because(
            "mode",
            options.mode != nil
                ? "--mode"
                : isStream ? "what comes is passed on at once, as much as the other side takes" : "nobody asked for less")
    }

    private mutating func decidePath() throws(CopyFailure) {
        plan.reflink = options.reflink
        because("reflink", options.reflink == .auto ? "where the file system can" : "--reflink \(options.reflink.rawValue)")
        if options.reflink == .always {
            guard facts.source.kind == .regular, facts.target.kind == .regular, options.treatment == .replace else {
                throw CopyFailure(
                    .badOption, "reflink", asked: "follow",
                    possible: "blocks are shared by two regular files, the target a new one",
                    cure: "leave it out")
            }
            return choose(.reflink, "--reflink always")
        }
        if let wish = options.engine { return try chooseEngine("--engine \(wish)", wish) }
        let isWhole = options.treatment == .replace && options.mode == nil && options.rate == nil && !options.verifies
        if options.reflink == .auto, isWhole, facts.mayShareBlocks, (data ?? 0) > 0,
            let name = Self.sharing[facts.source.fileSystem]
        {
            return choose(.reflink, "\(name) lets both files have the same blocks, where they are on one")
        }
        if plan.source == .memory, plan.target == .memory { return choose(.memory, "no file is concerned") }
        if (options.depth ?? 1) > 1 { return try chooseEngine("transfers in flight are an engine's", nil) }
        if options.mode == .cycleStealing { return try chooseEngine("turns are taken by an engine", nil) }
        let pipes = [facts.source.kind, facts.target.kind].contains(.pipe)
        let spliceable: Set<FileKind?> = [.pipe, .regular, .block]
        if pipes, !plan.checksums, facts.source.size != nil || facts.source.kind == .pipe, options.chunk == nil,
            plan.publishing != .append, spliceable.isSuperset(of: [facts.source.kind, facts.target.kind])
        {
            if plan.source == .direct { plan.source = .buffered }
            if plan.target == .direct { plan.target = .buffered }
            for (name, access) in [("source", plan.source), ("target", plan.target)] where access == .buffered {
                because(name, "a pipe takes and gives pages of the cache")
            }
            return choose(.splice, "pages move through the pipe without a copy in this process")
        }
        if plan.source == .direct || plan.target == .direct {
            return try chooseEngine("direct I/O wants many transfers in flight", nil)
        }
        let areFiles = facts.source.kind == .regular && facts.target.kind == .regular
        if areFiles, facts.source.size == nil { return choose(.readWrite, "a file without a size is read until its end") }
        if areFiles, !plan.checksums, facts.isSameFileSystem, options.reflink != .never, plan.publishing != .append,
            let name = Self.copying[facts.source.fileSystem]
        {
            return choose(.inKernel, "\(name): who serves the files copies them, and the bytes do not travel")
        }
        if areFiles {
            return choose(
                .readWrite, "through the cache nothing is waited for, and the kernel's own copy saves no time on a local disk")
        }
        try chooseEngine("neither side is a regular file", nil)
    }

    private mutating func choose(_ path: CopyPlan.Path, _ reason: String) {
        plan.path = path
        because("path", reason)
        because("engine", "the path needs none")
    }

    private mutating func chooseEngine(_ reason: String, _ wish: String?) throws(CopyFailure) {
        plan.path = .engine
        because("path", reason)
        guard let name = wish ?? facts.engine else {
            throw CopyFailure(
                .notSupported, "engine", asked: "find an", possible: "none that is here reaches files",
                cure: "see why in the list of engines")
        }
        plan.engine = name
        because("engine", wish == nil ? "the first that reaches files (dmactl list)" : "--engine")
    }

    private mutating func decideTransfers() {
        let isDirect = plan.source == .direct || plan.target == .direct
        var chunk = isDirect ? Self.diskChunk : Self.cacheChunk
        var reason =
            isDirect
            ? "large enough that a disk's requests are full, small enough to stop soon" : "stays in the processor's cache"
        let limit = [facts.source.largestRequest, facts.target.largestRequest].filter { $0 > 0 }.min()
        if isDirect, let limit, limit < chunk {
            chunk = max(limit & ~(facts.page - 1), Self.cacheChunk)
            reason = "the device takes \(ByteSize.text(limit)) in one request"
        }
        if plan.path == .inKernel || plan.path == .splice {
            chunk = plan.path == .inKernel ? 16 << 20 : 1 << 20
            reason = "asked of the kernel at once; short enough to stop soon"
        }
        if let wish = options.chunk {
            chunk = wish
            reason = "--chunk"
        }
        plan.chunk = chunk
        because("chunk", reason)
        guard plan.path == .engine else {
            plan.depth = 1
            because("depth", "one after the other")
            plan.staging = plan.path == .readWrite || plan.path == .memory ? "pool" : "none"
            because("staging", plan.staging == "pool" ? "one block" : "the bytes do not come into this process")
            because("registered", "only an engine registers memory")
            return
        }
        var depth = isDirect ? Self.diskDepth : 4
        reason = isDirect ? "keeps the disk busy while others complete" : "one is filled while others are emptied"
        if plan.mode == .demand {
            depth = 2
            reason = "one comes while the other goes"
        }
        // An eighth of what is free leaves enough for everybody else.
        let room = max(facts.freeMemory / 8, chunk) / chunk
        if UInt64(depth) > room {
            depth = Int(room)
            reason = "an eighth of the free memory"
        }
        if let size = data, size > 0, (size - 1) / chunk + 1 < UInt64(depth) {
            depth = Int((size - 1) / chunk) + 1
            reason = "there are no more transfers than that"
        }
        if let wish = options.depth {
            depth = wish
            reason = "--depth"
        }
        plan.depth = depth
        because("depth", reason)
        because("staging", "blocks of one mapping, leased for each transfer")
        let bytes = chunk * UInt64(depth)
        plan.registered = facts.lockable >= bytes
        because(
            "registered",
            plan.registered
                ? "their pages are pinned once, not for each transfer"
                : "\(ByteSize.text(bytes)) are more than RLIMIT_MEMLOCK leaves (\(ByteSize.text(facts.lockable)))")
    }

    private mutating func decideHoles() {
        plan.preallocates = plan.target == .direct && plan.publishing != .none && plan.path == .engine
        because(
            "preallocates",
            plan.preallocates
                ? "a full disk is noticed before, and writes inside the file need no lock" : "room is taken as the bytes come")
        guard facts.source.kind == .regular, let size = facts.source.size else {
            plan.holes = .none
            because("holes", "the source says nothing of holes")
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
                canKeep ? "SEEK_DATA finds them, and the target gets the same" : "the target has none: zeroes are written")
        } else {
            plan.holes = .none
            because("holes", "the source has none")
        }
    }

    private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    /// File systems whose server copies by itself when it is asked to by copy_file_range(2). Source: linux/magic.h; nfs(5), mount.cifs(8).
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
