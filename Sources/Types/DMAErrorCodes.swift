// SPDX-License-Identifier: Apache-2.0

extension DMAError {
    /// Every reason for which something is refused or fails. Names are stable.
    public enum Code: UInt16, Sendable, CaseIterable {
        // Memory
        case zeroLength, sizeOverflow, badAlignment, outOfMemory, hugePagesUnavailable, memoryLocked, noSuchHeap,
            memoryInUse, poolEmpty, notContiguous, unsupportedBacking
        // Mapping
        case unreachableAddress, noAddressSpace, mappingTooLarge, tooManySegments, misaligned, sharedCacheLine,
            alreadyMapped, notMapped, wrongDirection, outOfRange, backendFailed, quarantined, domainClosed, mappingsLeft,
            unmapMismatch,
            notCoherent, noFileDescriptor, partialUnmap, unsupportedSource, addressSpaceInUse, spaceBusy, notAttached,
            segmentGap
        // Channels
        case channelBusy, noSuchChannel, queueFull, unsupportedOperation, unsupportedFlag, noSuchRegion, foreignDomain,
            noPermission, overlappingRegions, lengthMismatch, tooManySources, terminating, notPausable, notPaused,
            calledFromCallback, quiesceTimeout, staleCookie, notReusable, noMetadata, metadataInUse, cancelled, notPeripheral,
            badConfiguration,
            notCyclic, deadlinePassed, engineFailed, badPeriod, badShare, unsupportedCommand,
            noSuchPeripheral, tooManyPeripherals, peripheralBusy, kernelRefused, needsPipe,
            deviceGone, usedAfterFork, foreignEngine, unknownCookie, foreignSettings, foreignPart
        // Memory of a peer, and events
        case unmappedAddress, unstableFile, tooManyRegions, regionInUse, copiesOnly
        // Devices
        case deviceBusy, deviceNotTrusted, deviceNotIsolated
        // A channel that was paused
        case paused
    }

    /// What the code means, once for every reader: messages, the guide's table and the tests. In the texts `@` stands for
    /// `asked` and `%` for `limit`, `^` and `~` for the same in hexadecimal.
    struct Facts {
        let rule: Int?
        let request: StaticString
        let ability: StaticString
        let cure: StaticString
    }
}

extension DMAError.Code {
    var facts: DMAError.Facts {
        func facts(_ rule: Int?, _ request: StaticString, _ ability: StaticString, _ cure: StaticString) -> DMAError.Facts {
            DMAError.Facts(rule: rule, request: request, ability: ability, cure: cure)
        }
        return switch self {
        case .zeroLength:
            facts(nil, "a length of 0 bytes", "1 byte or more", "leave out the empty request")
        case .sizeOverflow:
            facts(nil, "@ bytes", "at most % bytes, without leaving the 64-bit space", "split the request")
        case .badAlignment:
            facts(38, "an alignment of @ bytes", "a power of two up to % bytes", "round the alignment up to a power of two")
        case .outOfMemory:
            facts(nil, "@ bytes of memory", "less than that: the kernel refused", "ask for less, or free memory")
        case .hugePagesUnavailable:
            facts(
                nil, "@ bytes on huge pages of % bytes", "no free huge page of that size",
                "write the number of pages to /sys/kernel/mm/hugepages/…/nr_hugepages, or ask for .pages(transparentHuge: true)"
            )
        case .memoryLocked:
            facts(
                nil, "@ bytes locked in memory", "% bytes remain under RLIMIT_MEMLOCK",
                "raise it (ulimit -l, LimitMEMLOCK= in the unit file) or lock less")
        case .noSuchHeap:
            facts(nil, "memory of a dma-heap", "no such heap in /dev/dma_heap", "enable CONFIG_DMABUF_HEAPS, or use .pages")
        case .memoryInUse:
            facts(38, "the end of a pool with @ blocks leased", "an empty pool", "let the blocks end first")
        case .poolEmpty:
            facts(38, "a block of a pool", "all % blocks are leased", "take completions, or make a larger pool")
        case .notContiguous:
            facts(nil, "@ contiguous bytes", "at most % bytes in one piece", "use huge pages or a dma-heap, or a scatter list")
        case .unsupportedBacking:
            facts(
                nil, "memory to be imported, from an allocation", "to allocate, or to import what exists",
                "name another backing, or use Buffer(importing:)")
        case .unreachableAddress:
            facts(
                30, "a mapping at ^", "addresses up to ~, and bouncing is off",
                "allocate below the mask, widen the mask, or set allowsBounce")
        case .noAddressSpace:
            facts(30, "@ bytes of bus addresses", "no free range of that size below ~", "unmap something, or map less at once")
        case .mappingTooLarge:
            facts(39, "a mapping of @ bytes", "at most % bytes in one mapping", "map in pieces")
        case .tooManySegments:
            facts(39, "a list of @ segments", "at most % segments", "split the list")
        case .misaligned:
            facts(39, "an address or a length of ^", "multiples of % bytes", "align the buffer, or set allowsBounce")
        case .sharedCacheLine:
            facts(
                36, "a mapping at ^ that shares a cache line of % bytes with foreign data", "whole cache lines",
                "align start and length to the cache line, or set allowsBounce")
        case .alreadyMapped:
            facts(33, "a mapping at ^", "that range is mapped already", "unmap it first")
        case .notMapped:
            facts(33, "the end of a mapping at ^", "nothing is mapped there", "unmap once, with what was mapped")
        case .wrongDirection:
            facts(
                34, "an access that the mapping's direction forbids", "what the direction allows", "map with another direction")
        case .outOfRange:
            facts(35, "bytes up to @", "% bytes", "stay inside the buffer")
        case .backendFailed:
            facts(31, "a mapping at ^", "the kernel's IOMMU interface refused", "see errno, and the kernel's log (dmesg)")
        case .quarantined:
            facts(
                18, "memory at ^ that a device may still write", "none of it, until the device is proved stopped",
                "reset the device, then release the quarantine")
        case .domainClosed:
            facts(33, "a mapping", "none: the domain is closed", "map before close, or make another domain")
        case .mappingsLeft:
            facts(
                33, "the end of a domain with @ mappings (% bytes) alive", "a domain without mappings",
                "end the mappings first; the sanitizer names the line of each")
        case .unmapMismatch:
            facts(
                33, "the end of a mapping of @ bytes or entries", "it was made with %",
                "unmap with the size, kind, direction and number of entries that it was mapped with")
        case .notCoherent:
            facts(
                37, "coherent memory", "a device that does not see the CPU's caches",
                "use a streaming mapping, which maintains the caches")
        case .noFileDescriptor:
            facts(
                31, "a mapping at ^ of memory without a file", "memory of a memfd, a file or a dma-buf, which a peer can map",
                "allocate it for the domain (Buffer(count:for:)), or set allowsBounce")
        case .partialUnmap:
            facts(
                33, "the end of a mapping of @ bytes", "% bytes were unmapped: something else lies in the range, or nothing",
                "reset the device, or close its address space; the memory is in the quarantine until then")
        case .unsupportedSource:
            facts(
                31, "a mapping of another device's memory", "memory of this process",
                "move the bytes through a buffer, or use an address space whose backend takes device memory")
        case .addressSpaceInUse:
            facts(
                31, "an address space over a backend that has one", "one address space for each backend",
                "make the device's domain over the address space that exists, or end that one first")
        case .spaceBusy:
            facts(
                31, "a change of an address space",
                "one at a time: another thread attaches a device, or does not come back from the backend",
                "try again")
        case .notAttached:
            facts(31, "the end of a device's attachment", "no device is attached", "detach what was attached, once")
        case .segmentGap:
            facts(
                39, "a list with a segment that begins or ends at ^", "inner segments that begin and end on multiples of %",
                "align the entries, or set allowsBounce")
        case .channelBusy:
            facts(1, "a channel that is taken", "one client for each channel", "release it, or request another")
        case .noSuchChannel:
            facts(1, "a channel", "none that fits", "`dmactl list` shows what each engine can do, and why one is absent")
        case .queueFull:
            facts(7, "one more transaction", "% in flight", "take completions with next(), then submit again")
        case .unsupportedOperation:
            facts(3, "an operation the channel does not have", "what its capabilities name", "request a channel by capability")
        case .unsupportedFlag:
            facts(
                3, "a flag the channel does not honour (^)", "the flags ~",
                "leave the flag out, or request a channel that has it")
        case .noSuchRegion:
            facts(3, "region @ of the cargo", "it has % regions, counted from 0", "name a region that the cargo has")
        case .foreignDomain:
            facts(3, "memory mapped for $", "memory mapped for #", "map it with this channel's domain")
        case .noPermission:
            facts(
                34, "an access its mapping does not permit", "what the mapping's direction allows", "map with another direction"
            )
        case .overlappingRegions:
            facts(
                nil, "a copy whose source and destination overlap", "separate ranges",
                "copy through a third buffer, or in pieces")
        case .lengthMismatch:
            facts(3, "lists that add up to @ bytes on one side", "% bytes on the other", "make both sides the same length")
        case .tooManySources:
            facts(27, "@ sources", "at most % (and at least 1)", "combine in steps, continuing with .continue")
        case .terminating:
            facts(18, "work on a channel that is terminating", "nothing before synchronize", "call synchronize first")
        case .notPausable:
            facts(19, "a pause", "the channel cannot pause", "request a channel with .pause")
        case .notPaused:
            facts(19, "a resume", "the channel is not paused", "resume only after pause")
        case .paused:
            facts(19, "a wait for work on a paused channel", "no end before resume", "call resume first")
        case .calledFromCallback:
            facts(
                17, "a synchronous termination from a callback", "terminateAsync there",
                "call terminateAsync, synchronize later")
        case .quiesceTimeout:
            facts(18, "the device to stop within @ ns", "it is still running", "reset the device; its memory is quarantined")
        case .staleCookie:
            facts(8, "cookie @", "those whose completion was not yet taken", "ask before next() or take(_:) returns it")
        case .notReusable:
            facts(25, "a finished transaction to run again", "none: it was not submitted with .reuse", "submit it with .reuse")
        case .noMetadata:
            facts(28, "@ bytes of metadata", "% bytes for each descriptor", "request a channel with metadata, attach less")
        case .metadataInUse:
            facts(
                28, "the metadata of a transaction under way", "before issuePending, or after its end",
                "poll until it is complete")
        case .cancelled:
            facts(
                18, "a wait in a cancelled task", "the transaction goes on; the channel keeps its memory",
                "take it later, or terminate")
        case .notPeripheral:
            facts(2, "a peripheral's configuration", "the channel moves memory to memory", "request a channel with .peripheral")
        case .badConfiguration:
            facts(2, "a width or burst of @", "%", "see the channel's capabilities")
        case .notCyclic:
            facts(22, "a cyclic transfer", "none runs", "start one first")
        case .deadlinePassed:
            facts(nil, "completion by @ ns", "it took until % ns", "see the residue for what was not moved")
        case .engineFailed:
            facts(13, "a transaction", "the engine reported failure ^", "see the status words; reset the engine if it persists")
        case .badPeriod:
            facts(
                22, "periods of @ bytes in a ring of % bytes", "a divisor of the ring's length",
                "choose a period that divides the ring")
        case .unsupportedCommand:
            facts(3, "a command the peripherals do not take", "the capabilities' commands", "see `dmactl list --verbose`")
        case .noSuchPeripheral:
            facts(2, "peripheral @", "those that were attached", "attach it first")
        case .tooManyPeripherals:
            facts(2, "one more peripheral", "% at the same time", "detach one, or make the engine with a larger table")
        case .peripheralBusy:
            facts(2, "the end of peripheral @", "no transaction that names it", "take its completions first, or terminate")
        case .kernelRefused:
            facts(
                nil, "a system call, a ring, an event or a file of the kernel", "what errno says",
                "what errno wants: ulimit -n or -l, access to the file, sysctl kernel.io_uring_disabled=0, or a seccomp profile"
            )
        case .needsPipe:
            facts(
                3, "bytes from peripheral @ to peripheral % without this process's memory",
                "the kernel's splice(2), which has a pipe on one side, and tee(2), which has one on both",
                "attach a pipe(2), and move into it and out of it; or go through memory: .fromPeripheral, .toPeripheral")
        case .deviceGone:
            facts(
                nil, "work on a device that is gone", "nothing: it was removed, or answers no more",
                "end the channel and open the device again; `dmactl list` shows whether it is back")
        case .usedAfterFork:
            facts(
                1, "a channel or a domain of the parent process", "those that this process made itself",
                "open the device after fork(2), or start the child by exec")
        case .foreignEngine:
            facts(
                29, "an engine whose addresses are those of $", "#",
                "use the domain that the engine was opened with; an engine on CPU addresses wants a domain without translation")
        case .foreignSettings:
            facts(
                2, "settings of another engine", "those of the engine's own Settings type",
                "see the documentation of the engine")
        case .unknownCookie:
            facts(8, "cookie @", "the cookies that this channel gave out", "ask the channel whose submit returned it")
        case .foreignPart:
            facts(
                33, "two parts to be joined", "neighbours, split from one mapping",
                "join each part with the one that it was split from, in either order")
        case .deviceBusy:
            facts(
                1, "a device that another process has (process @; 0 where /proc does not tell)", "one process at a time",
                "end that process, or let it give the device back; as root, /proc tells of every process")
        case .deviceNotTrusted:
            facts(
                nil, "device ^ (vendor and device ID)", "the devices that the policy trusts",
                "add it to the policy, if it is to be trusted; `dmactl list` shows the line")
        case .deviceNotIsolated:
            facts(
                nil, "device ^ (vendor and device ID) without an IOMMU", "devices that an IOMMU holds back from other memory",
                "switch the IOMMU on in the firmware and on the kernel's command line, or waive it by its slot in the policy")
        case .badShare:
            facts(nil, "a share of @ per mille", "1 to 1000", "choose a share above 0 and at most 1")
        case .unmappedAddress:
            facts(
                nil, "an access at ^", "addresses that the peer has mapped",
                "answer the peer as a bus does that nobody answers: an abort, and the device's own error status")
        case .unstableFile:
            facts(
                nil, "a mapping of a file whose pages may go away", "a memfd of base pages that is sealed against shrinking",
                "let the peer seal it (F_SEAL_SHRINK), or insert it with .copied")
        case .tooManyRegions:
            facts(nil, "one more region", "% regions", "remove some first, or make the table with a larger limit")
        case .regionInUse:
            facts(
                18, "the end of the region at ^ within a deadline", "threads still access it; new accesses are refused",
                "remove it again; it stays mapped until then")
        case .copiesOnly:
            facts(
                nil, "one access to a word at ^", "copies by the kernel, which promise no width",
                "let the peer seal the file (F_SEAL_SHRINK), so that it is mapped; or read and write bytes")
        }
    }
}
