// SPDX-License-Identifier: Apache-2.0

extension Explanation {
    /// Rules 29 to 39: number, title, meaning, example, cure.
    static var mappingRules: [(Int, String, String, String, String)] {
        [
            (
                29, "bus addresses are not CPU addresses",
                """
                CPU addresses and the addresses that a device uses (IOVAs) are different types, and an IOVA is valid only \
                in the address space that assigned it.
                """,
                "Memory mapped for one device is submitted on another device's channel: foreignDomain.",
                "Map the memory with the domain of the channel that uses it."
            ),
            (
                30, "an address that the device cannot reach is bounced or refused",
                """
                A device has a mask for streaming mappings and one for coherent memory. Memory beyond it is copied through \
                a bounce buffer, or refused; an address is never truncated.
                """,
                "A buffer at 2^47 is mapped for a device with 32 address lines.",
                """
                Allow bouncing, allocate below the mask with AllocationPolicy.below, or widen the mask where the device \
                supports it.
                """
            ),
            (
                31, "every map can fail and then returns the buffer",
                """
                A refused mapping leaves nothing behind: parts that were mapped are unmapped again, and the buffer is \
                returned to the caller.
                """,
                "The IOMMU refuses the third page of a list: the first two are unmapped.",
                "Handle .failed, which contains the reason and the buffer."
            ),
            (
                32, "a mapped list may have fewer segments",
                """
                Adjacent entries are merged. The device receives the mapped segments; unmap and sync use the original \
                entries.
                """,
                "Five adjacent entries become one segment, and the driver programs five.",
                "Use regionCount for the device and originalCount for everything else, as MappedScatterList does."
            ),
            (
                33, "a mapping ends once, as it was made",
                """
                After the DMA has finished, every mapping ends exactly once, with its size, kind and number of entries.
                """,
                "A buffer of 8192 bytes is unmapped with 4096.",
                "Keep the mapping's value and end it; DMA_SANITIZE=1 reports the source line of each that is left."
            ),
            (
                34, "the direction limits the device's access",
                """
                toDevice: the device only reads. fromDevice: it only writes, and the CPU does not write meanwhile. \
                bidirectional: both.
                """,
                "A copy whose destination is mapped toDevice is refused with noPermission.",
                "Map each region in the direction of the transfer, or bidirectional."
            ),
            (
                35, "sync comes before and after each CPU access",
                """
                The CPU accesses mapped memory after syncForCPU, and passes it to the device with syncForDevice; ranges \
                are checked.
                """,
                "A sync extends beyond the end of a mapping: outOfRange.",
                "Use withCPUAccess and withMutableCPUAccess, which sync before and after their body."
            ),
            (
                36, "no cache line is shared with foreign data",
                """
                For a device that does not snoop the CPU's caches, the edges of a mapping share no cache line with other \
                data: writing a line back would overwrite data that the device wrote.
                """,
                """
                A 100-byte field in the middle of a structure is mapped for such a device: bounced, or sharedCacheLine.
                """,
                "Align the start and the length to the cache line, or allow bouncing."
            ),
            (
                37, "coherent does not mean ordered",
                """
                In memory that both sides access at the same time, a barrier precedes the word that marks the others as \
                valid.
                """,
                """
                A driver writes the valid bit of a descriptor before its address, and the device reads an incomplete \
                descriptor.
                """,
                "Store the valid word with storeRelease and read it with loadAcquire."
            ),
            (
                38, "a pool's blocks are aligned, and all are returned",
                """
                Blocks have the requested alignment and cross no boundary. All blocks are returned before the pool ends.
                """,
                "A pool ends while three blocks are leased: memoryInUse, and DMA-S22 from the sanitizer.",
                "Return the blocks before the pool ends; a transaction's block is returned with its completion."
            ),
            (
                39, "limits apply to each segment, and bounces are counted",
                """
                The maximum segment length, the segment boundary, the maximum mapping size and the alignment belong to the \
                device. A bounce copies at map, sync and unmap, and is counted.
                """,
                "A mapping of 3 MiB for a device with segments of 1 MiB has three regions.",
                "Set the device's limits in DeviceConstraints; check Domain.statistics for bounces that cost time."
            ),
        ]
    }
}
