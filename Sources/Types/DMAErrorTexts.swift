// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// The texts of every code: one source for the messages, the guide's table and `dmactl explain`.
extension DMAError {
    /// The parts of a message: `cannot REQUEST: REASON`, then the cure.
    struct Texts {
        let request: String
        let reason: String
        let cure: String

        init(_ request: String, _ reason: String, cure: String) {
            self.request = request
            self.reason = reason
            self.cure = cure
        }
    }

    /// The texts of `code`, with this error's numbers filled in.
    var texts: Texts {
        switch code {
        case .zeroLength, .sizeOverflow, .badAlignment, .outOfMemory, .hugePagesUnavailable, .memoryLocked, .noSuchHeap,
            .memoryInUse, .poolEmpty, .notContiguous, .unsupportedBacking:
            memoryTexts
        case .unreachableAddress, .noAddressSpace, .mappingTooLarge, .tooManySegments, .misaligned, .sharedCacheLine,
            .alreadyMapped, .notMapped, .wrongDirection, .outOfRange, .segmentGap:
            rangeTexts
        case .backendFailed, .quarantined, .domainClosed, .mappingsLeft, .unmapMismatch, .notCoherent, .noFileDescriptor,
            .partialUnmap, .unsupportedSource, .addressSpaceInUse, .spaceBusy, .notAttached, .foreignPart:
            mappingTexts
        case .unsupportedOperation, .unsupportedFlag, .noSuchRegion, .foreignDomain, .noPermission, .overlappingRegions,
            .lengthMismatch, .tooManySources, .noMetadata, .metadataInUse, .badPeriod, .badShare, .notReusable:
            submissionTexts
        case .channelBusy, .noSuchChannel, .queueFull, .terminating, .notPausable, .notPaused, .paused,
            .calledFromCallback, .quiesceTimeout, .staleCookie, .unknownCookie, .cancelled, .notCyclic, .deadlinePassed,
            .engineFailed, .badConfiguration, .foreignSettings:
            channelTexts
        case .notPeripheral, .unsupportedCommand, .noSuchPeripheral, .tooManyPeripherals, .peripheralBusy, .kernelRefused,
            .needsPipe:
            peripheralTexts
        case .deviceGone, .usedAfterFork, .foreignEngine, .deviceBusy, .deviceNotTrusted, .deviceNotIsolated:
            deviceTexts
        case .unmappedAddress, .unstableFile, .tooManyRegions, .regionInUse, .copiesOnly:
            peerTexts
        }
    }
}

// MARK: - Memory and mapping

extension DMAError {
    private var memoryTexts: Texts {
        switch code {
        case .zeroLength:
            Texts("use a length of 0", "at least 1 is needed", cure: "leave out the empty request, or pass a positive length")
        case .sizeOverflow:
            Texts(
                "use a size of \(bytes(asked))",
                isNegative(asked)
                    ? "a size is positive"
                    : limit == 0
                        ? "the range would end beyond the 64-bit address space"
                        : "at most \(bytes(limit)) are possible here, and no range may end beyond the 64-bit address space",
                cure: isNegative(asked) ? "pass a positive size" : "split the request")
        case .badAlignment:
            Texts(
                "use \(number(asked)) as an alignment, a boundary or a number of ring entries",
                "it must be a power of two, at most \(number(limit))", cure: "round it up to a power of two")
        case .outOfMemory:
            Texts(
                asked == 0 ? "allocate memory" : "allocate \(bytes(asked))", "not enough memory is available",
                cure: "ask for less, free memory, or raise the limit of the process or its cgroup")
        case .hugePagesUnavailable:
            Texts(
                "allocate \(bytes(asked)) on huge pages of \(bytes(limit))", "too few huge pages of that size are free",
                cure:
                    "reserve pages in /sys/kernel/mm/hugepages/…/nr_hugepages, or use ordinary pages with .pages(transparentHuge: true)"
            )
        case .memoryLocked:
            Texts(
                "lock \(bytes(asked)) in memory", "RLIMIT_MEMLOCK leaves \(bytes(limit))",
                cure: "raise the limit (ulimit -l, or LimitMEMLOCK= in the unit file), or lock less")
        case .noSuchHeap:
            Texts(
                "allocate memory from a dma-heap", "/dev/dma_heap has no heap of that name",
                cure: "enable CONFIG_DMABUF_HEAPS in the kernel, or use .pages")
        case .memoryInUse:
            Texts(
                "end the pool", "\(count(asked, "block is", "blocks are")) leased",
                cure: "return the blocks first; those of transactions come back with the completions")
        case .poolEmpty:
            Texts(
                "lease a block",
                limit == 0 ? "every block of the pool is leased" : "all \(number(limit)) blocks of the pool are leased",
                cure: "take completions, which bring blocks back, or make a larger pool")
        case .notContiguous:
            Texts(
                "place \(bytes(asked)) in one segment", "at most \(bytes(limit)) are contiguous",
                cure: "use huge pages or a dma-heap, or a scatter list")
        default:  // unsupportedBacking
            Texts(
                "allocate memory with the backing .imported", "this backing describes imported memory only",
                cure: "choose another backing, or use Buffer(importing:)")
        }
    }

    private var rangeTexts: Texts {
        switch code {
        case .unreachableAddress:
            Texts(
                "map memory at \(hex(asked))", "the device reaches addresses up to \(hex(limit)), and bounce buffers are off",
                cure: "allocate below the mask, widen the mask where the device permits it, or set allowsBounce")
        case .noAddressSpace:
            Texts(
                "reserve \(bytes(asked)) of bus addresses", "no free range of that size ends at or below \(hex(limit))",
                cure: "end mappings that are no longer used, or map less at once")
        case .mappingTooLarge:
            Texts("map \(bytes(asked))", "one mapping takes at most \(bytes(limit))", cure: "map the range in pieces")
        case .tooManySegments:
            Texts(
                "use a list of \(count(asked, "segment"))", "at most \(count(limit, "segment is", "segments are")) possible",
                cure: "split the list")
        case .misaligned:
            Texts(
                "use the address or length \(hex(asked))", "it must be a multiple of \(bytes(limit))",
                cure: "align the buffer and its length; for a mapping, allowsBounce copies through an aligned buffer")
        case .sharedCacheLine:
            Texts(
                "map memory at \(hex(asked))", "the range shares a cache line of \(bytes(limit)) with other data",
                cure: "align start and length to the cache line, or set allowsBounce")
        case .alreadyMapped:
            Texts("map memory at \(hex(asked))", "the range is mapped already", cure: "end the existing mapping first")
        case .notMapped:
            Texts(
                asked == 0 ? "use the mapping" : "use the mapping at \(hex(asked))", "nothing is mapped there",
                cure: "end each mapping once, and use it only before that")
        case .wrongDirection:
            Texts(
                "access the mapping", "its direction does not permit this access", cure: "map the memory with another direction"
            )
        case .outOfRange:
            Texts(
                "access bytes up to \(number(asked))", "the range ends at \(number(limit))",
                cure: "choose an offset and a length inside the range")
        default:  // segmentGap
            Texts(
                "use a list with a segment that begins or ends at \(hex(asked))",
                "inside a list, segments must begin and end on multiples of \(bytes(limit))",
                cure: "align the entries, or set allowsBounce")
        }
    }

    private var mappingTexts: Texts {
        switch code {
        case .backendFailed:
            Texts(
                "map memory at \(hex(asked))", "the address space's backend refused",
                cure: "see the error number and the kernel's log (dmesg)")
        case .quarantined:
            Texts(
                asked == 0 ? "use the memory" : "use the memory at \(hex(asked))", "a device may still write to it",
                cure: "reset the device, then release the quarantine")
        case .domainClosed:
            Texts("map memory", "the domain is closed", cure: "map before close(), or make another domain")
        case .mappingsLeft:
            Texts(
                "close the domain cleanly",
                "\(count(asked, "mapping")) (\(bytes(limit))) still \(asked == 1 ? "exists" : "exist")",
                cure: "end the mappings first; the sanitizer reports the source line of each")
        case .unmapMismatch:
            Texts(
                "unmap with a size or count of \(number(asked))", "the mapping was made with \(number(limit))",
                cure: "unmap with the size, kind, direction and number of entries of the mapping")
        case .notCoherent:
            Texts(
                "allocate coherent memory", "the device does not snoop the CPU's caches",
                cure: "use a streaming mapping, which maintains the caches")
        case .noFileDescriptor:
            Texts(
                "map memory at \(hex(asked)) for another process", "the memory has no file descriptor to pass",
                cure: "allocate it with Buffer(count:for:), or set allowsBounce")
        case .partialUnmap:
            Texts(
                "unmap \(bytes(asked))", "the backend unmapped \(bytes(limit))",
                cure: "reset the device, or close its address space; until then the memory stays in quarantine")
        case .unsupportedSource:
            Texts(
                "map the memory of another device", "the address space maps only memory of this process",
                cure: "copy through a buffer, or use an address space whose backend maps device memory")
        case .addressSpaceInUse:
            Texts(
                "make an address space over this backend", "the backend has one already",
                cure: "make the domain over the existing address space, or end that one first")
        case .spaceBusy:
            Texts(
                "change the address space", "another thread is attaching a device, or has not returned from the backend",
                cure: "try again")
        case .notAttached:
            Texts("detach a device", "none is attached", cure: "call detach once for each attach")
        default:  // foreignPart
            Texts(
                "join the parts", "they are not neighbours in one mapping",
                cure: "join each part with the one that it was split from, in either order")
        }
    }
}

// MARK: - Submissions

extension DMAError {
    private var submissionTexts: Texts {
        switch code {
        case .unsupportedOperation:
            Texts(
                "run the operation", "the channel's capabilities do not include it", cure: "request a channel by capability")
        case .unsupportedFlag:
            Texts(
                "set the flags \(hex(asked))", "the channel supports \(hex(limit))",
                cure: "leave the flags out, or request a channel that supports them")
        case .noSuchRegion:
            Texts(
                "use region \(number(asked))", "the cargo has \(count(limit, "region")), counted from 0",
                cure: "name a region of the cargo")
        case .foreignDomain:
            Texts(
                "use memory mapped for \(DomainNames.text(asked))",
                "the channel's memory is mapped for \(DomainNames.text(limit))",
                cure: "map it for the channel's domain")
        case .noPermission:
            Texts(
                "access the region", "its mapping does not permit this access",
                cure: "map the memory with a direction that permits it")
        case .overlappingRegions:
            Texts(
                "copy between overlapping ranges", "source and destination must be apart",
                cure: "copy through a third buffer, or in pieces")
        case .lengthMismatch:
            Texts(
                "transfer between sides of different lengths", "one has \(bytes(asked)), the other \(bytes(limit))",
                cure: "make both sides the same length")
        case .tooManySources:
            Texts(
                "combine \(count(asked, "source"))", "one operation takes at least 1 and at most \(number(limit))",
                cure: "combine in steps, and continue with the flag .continue")
        case .noMetadata:
            Texts(
                asked == 0 ? "use metadata" : "attach \(bytes(asked)) of metadata",
                limit == 0 ? "the channel's descriptors carry none" : "a descriptor carries at most \(bytes(limit))",
                cure: "request a channel with metadata, or attach less")
        case .metadataInUse:
            Texts(
                "access the metadata", "its transaction is in flight",
                cure: "access it before issuePending or after the transaction has completed")
        case .badPeriod:
            Texts(
                "use periods of \(bytes(asked))", "they do not divide the ring of \(bytes(limit)) evenly",
                cure: "choose a period that divides the ring's length")
        case .badShare:
            Texts(
                "pace to a share of \(number(asked)) per mille", "a share is from 1 to 1000 per mille",
                cure: "choose a share above 0 and at most 1")
        default:  // notReusable
            Texts(
                "submit the transaction again", "it was submitted without .reuse", cure: "submit it with the flag .reuse")
        }
    }
}

// MARK: - Channels

extension DMAError {
    private var channelTexts: Texts {
        switch code {
        case .channelBusy:
            Texts(
                "open the channel", "another client has it", cure: "close it there first, or request another channel")
        case .noSuchChannel:
            Texts(
                "open a channel", "none fits the request",
                cure: "request what an engine offers; the system's list of engines tells why one is absent")
        case .queueFull:
            Texts(
                "submit another transaction", "\(number(limit)) are in flight, as many as the channel holds",
                cure: "take completions with next(), then submit again")
        case .terminating:
            Texts("use the channel", "it is being terminated", cure: "call synchronize first")
        case .notPausable:
            Texts("pause the channel", "its engine does not support it", cure: "request a channel with .pause")
        case .notPaused:
            Texts("resume the channel", "it is not paused", cure: "call resume only after pause")
        case .paused:
            Texts("wait for the channel", "it is paused", cure: "call resume first")
        case .calledFromCallback:
            Texts(
                "wait for the channel inside a completion callback", "the callback would wait for itself",
                cure: "call terminateAsync there, and synchronize after the callback has returned")
        case .quiesceTimeout:
            Texts(
                "stop the device within \(nanoseconds(asked))", "it is still running",
                cure: "reset the device; until then its memory stays in quarantine")
        case .staleCookie:
            Texts(
                "find transaction \(number(asked))", "its completion has been taken",
                cure: "ask before next() or take(_:) returns the transaction")
        case .unknownCookie:
            Texts(
                "find transaction \(number(asked))", "it was not submitted on this channel",
                cure: "ask the channel whose submit returned the cookie")
        case .cancelled:
            Texts(
                "wait for the transaction",
                "the task was cancelled; the transaction continues, and the channel keeps its memory",
                cure: "take it later, or terminate the channel")
        case .notCyclic:
            Texts("use the cyclic transfer", "none is running", cure: "start one first")
        case .deadlinePassed:
            Texts(
                "finish by the deadline",
                asked == 0 && limit == 0
                    ? "it has passed" : "it was at \(nanoseconds(asked)), and the monotonic clock is at \(nanoseconds(limit))",
                cure: "allow more time; the residue tells how much was not transferred")
        case .engineFailed:
            Texts(
                "complete the request", asked == 0 ? "the engine failed" : "the engine reported failure \(hex(asked))",
                cure: "see the error number and the device's status; reset the engine if the failure persists")
        case .badConfiguration:
            Texts(
                "use the value \(number(asked)) in the configuration",
                limit == 0
                    ? "it is not supported here" : limit == .max ? "it must not be negative" : "the limit is \(number(limit))",
                cure: "choose a value that the documentation or the channel's capabilities permit")
        default:  // foreignSettings
            Texts(
                "apply the settings", "they belong to another engine", cure: "pass a value of the engine's own Settings type")
        }
    }

    private var peripheralTexts: Texts {
        switch code {
        case .notPeripheral:
            Texts(
                "configure or attach a peripheral", "the channel transfers between memory and memory only",
                cure: "request a channel with .peripheral")
        case .unsupportedCommand:
            Texts(
                "run the command", "the peripheral does not support it",
                cure: "use a command that the channel's capabilities name")
        case .noSuchPeripheral:
            Texts("use peripheral \(number(asked))", "it is not attached", cure: "attach it first")
        case .tooManyPeripherals:
            Texts(
                "attach another peripheral", "\(count(limit, "is", "are")) attached, as many as the table holds",
                cure: "detach one, or make the engine with a larger table")
        case .peripheralBusy:
            Texts(
                "detach peripheral \(number(asked))", "transactions that use it are in flight",
                cure: "take their completions first, or terminate the channel")
        case .needsPipe:
            Texts(
                "move bytes from peripheral \(number(asked)) to peripheral \(number(limit)) without copying them to memory",
                "splice(2) needs a pipe on one side, and tee(2) on both",
                cure: "move through a pipe(2), or through memory with .fromPeripheral and .toPeripheral")
        default:  // kernelRefused
            Texts("complete a system call", "the kernel refused it", cure: DMAError.cure(errno))
        }
    }

    /// What to change where the kernel refused with this error number.
    private static func cure(_ errno: Int32) -> String {
        switch errno {
        case EBADF: "pass an open file descriptor with the access that the transfers need"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit file), or close some"
        case ENOMEM: "raise the limit of locked memory (ulimit -l, or LimitMEMLOCK= in the unit file), or ask for less"
        case EACCES, EPERM:
            "permit the access: the file's mode, sysctl kernel.io_uring_disabled=0, or a seccomp profile that allows the call"
        case ENOSYS: "use a kernel that has the call, and a seccomp profile that allows it"
        case ENOENT, ENODEV, ENXIO: "name a file or device that exists"
        default:
            "check what errno concerns: the limits ulimit -n and -l, access to the file, sysctl kernel.io_uring_disabled, or the seccomp profile"
        }
    }
}

// MARK: - Devices and peers

extension DMAError {
    private var deviceTexts: Texts {
        switch code {
        case .deviceGone:
            Texts(
                "use the device", "it was removed, or no longer responds",
                cure: "end the channel, and open the device again once it is back")
        case .usedAfterFork:
            Texts(
                "use the channel or domain", "it belongs to the parent of this process",
                cure: "open the device after fork(2), or start the child with exec(3)")
        case .foreignEngine:
            Texts(
                "use an engine with addresses of \(DomainNames.text(asked)) in this domain",
                "the domain's addresses are those of \(DomainNames.text(limit))",
                cure:
                    "use the domain that the engine was opened with; an engine on CPU addresses needs a domain without translation"
            )
        case .deviceBusy:
            Texts(
                "open the device",
                asked == 0 ? "another process has it, and /proc does not show which" : "process \(number(asked)) has it",
                cure: asked == 0
                    ? "end the process that has it, or let it close the device; as root, /proc shows every process"
                    : "end that process, or let it close the device")
        case .deviceNotTrusted:
            Texts(
                "use device \(hex(asked)) (vendor and device ID)", "the policy does not trust it",
                cure: "add it to the policy, if it is to be trusted")
        default:  // deviceNotIsolated
            Texts(
                "use device \(hex(asked)) (vendor and device ID)", "no IOMMU limits which memory it reaches",
                cure:
                    "enable the IOMMU in the firmware and on the kernel's command line, or waive it in the policy by the device's slot"
            )
        }
    }

    private var peerTexts: Texts {
        switch code {
        case .unmappedAddress:
            Texts(
                "access address \(hex(asked))", "the peer has not mapped it",
                cure: "answer with a bus abort, and set the device's error status")
        case .unstableFile:
            Texts(
                "map the peer's file", "it is not a memfd of base pages that is sealed against shrinking",
                cure: "let the peer seal it (F_SEAL_SHRINK), or insert it with .copied")
        case .tooManyRegions:
            Texts(
                "insert another region", "the table holds \(number(limit)), its limit",
                cure: "remove some first, or make the table with a larger limit")
        case .regionInUse:
            Texts(
                "remove the region at \(hex(asked)) by the deadline", "threads still access it",
                cure: "remove it again; until then it stays mapped and refuses new accesses")
        default:  // copiesOnly
            Texts(
                "access a word at \(hex(asked)) in one piece", "the kernel copies this region, and may split the word",
                cure: "let the peer seal the file (F_SEAL_SHRINK), so that it is mapped; or read and write bytes")
        }
    }
}

// MARK: - Numbers

/// A number as the caller counted it: callers count in `Int`, and a negative one arrives as its bit pattern.
private func number(_ value: UInt64) -> String {
    isNegative(value) ? String(Int64(bitPattern: value)) : String(value)
}

private func isNegative(_ value: UInt64) -> Bool { value > 1 << 63 }

private func count(_ value: UInt64, _ one: String, _ many: String? = nil) -> String {
    "\(number(value)) \(value == 1 ? one : many ?? one + "s")"
}

private func bytes(_ value: UInt64) -> String { count(value, "byte") }

private func nanoseconds(_ value: UInt64) -> String { "\(number(value)) ns" }

private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
