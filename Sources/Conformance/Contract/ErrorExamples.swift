// SPDX-License-Identifier: Apache-2.0

import DMACore

extension Explanation {
    /// The codes of `DMAError`, with the texts of their messages; N and M are placeholders for the numbers of an error.
    static var errors: [Explanation] {
        DMAError.Code.allCases.map { code in
            // Numbers that no text contains.
            let (asked, limit): (UInt64, UInt64) = (0x1357_9bdf_0246_8ace, 0x2468_ace1_3579_bdf0)
            let error = DMAError(code, asked: asked, limit: limit)
            func readable(_ text: String) -> String {
                text.replacing("0x" + String(asked, radix: 16), with: "N").replacing("\(asked)", with: "N")
                    .replacing("0x" + String(limit, radix: 16), with: "M").replacing("\(limit)", with: "M")
            }
            return Explanation(
                "\(code)", .error, title: "cannot \(readable(error.request))",
                meaning: "\(readable(error.message).capitalized).",
                example: example(code),
                cure: readable(error.cure).capitalized + ".", rules: error.rule.map { [$0] } ?? [])
        }
    }

    /// What causes the code.
    private static func example(_ code: DMAError.Code) -> String {
        switch code {
        case .zeroLength: "Buffer(count: 0), or a copy of 0 bytes."
        case .sizeOverflow: "A copy of more bytes than Capabilities.maximumCount."
        case .badAlignment: "Pool(memory, blockSize: 64, alignment: 48)."
        case .outOfMemory: "Buffer(count: 1 << 45)."
        case .hugePagesUnavailable: "Buffer(count: 2 << 20, backing: .huge2MiB) on a machine that has no huge page set aside."
        case .memoryLocked: "Locking 64 MiB in a shell whose ulimit -l is 8192."
        case .noSuchHeap: "A buffer of a dma-heap on a kernel without CONFIG_DMABUF_HEAPS."
        case .memoryInUse: "try pool.end() while a transaction has one of the pool's blocks."
        case .poolEmpty: "The 65th lease of a pool of 64 blocks."
        case .notContiguous: "A CyclicRing over a mapping that has several regions."
        case .unsupportedBacking: "Buffer(count: 4096, backing: .imported)."
        case .unreachableAddress: "Mapping an ordinary buffer for a 32-bit device with allowsBounce off."
        case .noAddressSpace: "More mapped at once than lies below the device's mask."
        case .mappingTooLarge: "Mapping 8192 bytes where maximumMappingSize is 4096."
        case .tooManySegments: "A list of 300 regions on a channel that takes 256."
        case .misaligned: "A copy of 6 bytes on a channel whose alignment is 4."
        case .sharedCacheLine: "Mapping 100 bytes of a structure for a device that does not see the CPU's caches."
        case .alreadyMapped: "Mapping imported memory twice for one domain."
        case .notMapped: "Ending a mapping of imported memory a second time."
        case .wrongDirection: "withMutableCPUAccess on a mapping that is fromDevice."
        case .outOfRange: "A copy of 8192 bytes into a region of 4096."
        case .backendFailed: "An IOMMU that has no more entries for this process."
        case .quarantined: "Asking for memory of a device that did not stop."
        case .domainClosed: "Mapping for a domain after domain.close()."
        case .mappingsLeft: "domain.close() while a MappedBuffer lives."
        case .unmapMismatch: "Unmapping 4096 bytes of a mapping of 8192."
        case .notCoherent: "CoherentBuffer for a domain whose isCoherent is false."
        case .noFileDescriptor: "Mapping an ordinary buffer for a vfio-user peer with allowsBounce off."
        case .partialUnmap: "A kernel that answers an unmap of 8192 bytes with 0."
        case .unsupportedSource: "Mapping a controller's memory buffer for a domain on CPU addresses."
        case .addressSpaceInUse: "A second AddressSpace over one VFIO container."
        case .spaceBusy: "attach in two threads at the same time."
        case .notAttached: "A second detach of one device."
        case .segmentGap: "A list whose second entry begins inside a page, for an NVMe controller, with allowsBounce off."
        case .channelBusy: "Opening cpu/0 while another part of the program has it."
        case .noSuchChannel: "Asking for an engine by a name that none has."
        case .queueFull: "The 33rd submission on a channel with a depth of 32."
        case .unsupportedOperation: "A fill on a channel that only copies."
        case .unsupportedFlag: "The reuse flag on a channel without it."
        case .noSuchRegion: "copy(from: 2, to: 1) on a cargo of two regions."
        case .foreignDomain: "Submitting memory that was mapped for another device."
        case .noPermission: "A copy into a region that is mapped toDevice."
        case .overlappingRegions: "A copy within one region, to a place 100 bytes further on."
        case .lengthMismatch: "A scatter-gather of 4096 bytes into regions of 4000."
        case .tooManySources: "An XOR of 64 sources on a channel that takes 32."
        case .terminating: "submit between terminateAsync and synchronize."
        case .notPausable: "pause() on a channel whose canPause is false."
        case .notPaused: "A second resume()."
        case .paused: "finished(_:) after pause() and before resume()."
        case .calledFromCallback: "terminateSync in a completion's callback."
        case .quiesceTimeout: "A device that hangs when it is told to stop."
        case .staleCookie: "status(of:) after next() has returned the transaction."
        case .notReusable: "resubmit of a transaction that was submitted without .reuse."
        case .noMetadata: "65 bytes of metadata on a channel with 16."
        case .metadataInUse: "withMetadata while the transaction is under way."
        case .cancelled: "An await in a task that is cancelled."
        case .notPeripheral: "configure on a channel that moves memory to memory."
        case .badConfiguration: "A priority of 4 on a channel with two."
        case .notCyclic: "Asking for the next period where no ring runs."
        case .deadlinePassed: "A wait until .after(milliseconds: 1) for a transfer of a second."
        case .engineFailed: "A device that reports a failure, or an engine that refuses to pause."
        case .badPeriod: "Periods of 1000 bytes in a ring of 4096."
        case .badShare: "A share of 0 for a paced engine."
        case .unsupportedCommand: "A discard on a file system without it."
        case .noSuchPeripheral: "A place on peripheral 3 where two are attached."
        case .tooManyPeripherals: "Attaching a 65th file to a table of 64."
        case .peripheralBusy: "detach while a transfer to the peripheral is under way."
        case .kernelRefused: "An io_uring where /proc/sys/kernel/io_uring_disabled is 2."
        case .deviceGone: "Submitting to a device that was unplugged."
        case .usedAfterFork: "submit in a child of fork(2), on a channel of its parent."
        case .foreignEngine: "An engine on CPU addresses opened with the domain of a VFIO device."
        case .unknownCookie: "status(of:) with a cookie of another channel."
        case .foreignSettings: "The settings of one engine applied to another behind AnyEngine."
        case .unmappedAddress: "A model that reads at an address for which no DMA_MAP came."
        case .unstableFile: "ForeignMemory.insert of a memfd that was not sealed."
        case .tooManyRegions: "The 65,537th DMA_MAP of one peer."
        case .regionInUse: "ForeignMemory.remove while a thread reads the region on a slow disk."
        case .copiesOnly: "ForeignMemory.load from a region that was inserted with .copied."
        case .foreignPart: "A part joined with one of another buffer, or with one that is not its neighbour."
        case .deviceBusy: "Opening a card that another process drives."
        case .deviceNotTrusted: "Requesting a channel of a card that the policy's list does not have."
        case .deviceNotIsolated: "Requesting a channel of a card in a machine without an IOMMU."
        case .needsPipe: "move between two files, neither of which is a pipe."
        }
    }
}

extension String {
    /// With an upper-case first letter.
    fileprivate var capitalized: String { prefix(1).uppercased() + dropFirst() }
}
