// SPDX-License-Identifier: Apache-2.0

extension Explanation {
    /// Rules 29 to 39: number, title, meaning, example, cure.
    static var mappingRules: [(Int, String, String, String, String)] {
        [
            (
                29, "bus addresses are not CPU addresses",
                """
                The CPU's addresses and those that a device uses (IOVAs) are different types, and an IOVA is good in the address space that it \
                was made in and nowhere else.
                """,
                "Memory mapped for one device is handed to another device's channel: foreignDomain.",
                "Map the memory with the domain of the channel that is to use it."
            ),
            (
                30, "an address that the device cannot reach is bounced or refused",
                """
                A device has a mask for streaming mappings and one for coherent memory. What lies beyond is copied through memory within \
                reach, or refused; it is never cut to the bits that fit.
                """,
                "A buffer at 2^47 is mapped for a device with 32 address lines.",
                "Allow bouncing, allocate below the mask with AllocationPolicy.below, or widen the mask where the device can do more."
            ),
            (
                31, "every map can fail, and the buffer comes back",
                "A mapping that is refused leaves nothing behind: what was mapped of it is undone, and the buffer is the caller's again.",
                "The third page of a list is refused by the IOMMU: the first two are unmapped.",
                "Handle .failed, which holds the reason and the buffer."
            ),
            (
                32, "a mapped list may have fewer segments",
                "Neighbouring entries are merged. The device is given the mapped segments; unmap and sync go by the original entries.",
                "Five entries that follow each other in memory become one segment, and the driver programs five.",
                "Use regionCount for the device and originalCount for the rest; MappedScatterList does."
            ),
            (
                33, "a mapping ends once, with what was mapped",
                "After the DMA has finished, every mapping ends exactly once, with its size, kind and number of entries.",
                "A buffer of 8192 bytes is unmapped with 4096.",
                "Keep the mapping's value and end that; DMA_SANITIZE=1 names the line of each that is left."
            ),
            (
                34, "the direction bounds what the device may do",
                "toDevice: the device only reads. fromDevice: it only writes, and the CPU does not write meanwhile. bidirectional: both.",
                "A copy whose destination is mapped toDevice is refused with noPermission.",
                "Map each region in the direction of the transfer, or bidirectional."
            ),
            (
                35, "sync stands on either side of a transfer",
                "The CPU looks after syncForCPU and hands back with syncForDevice; ranges are checked.",
                "Bytes beyond the end of a mapping are to be synced: outOfRange.",
                "Use withCPUAccess and withMutableCPUAccess, which sync on both sides of their body."
            ),
            (
                36, "no cache line is shared with foreign data",
                """
                On a device that does not see the CPU's caches, the edges of a mapping share no line with anything else: writing a line back \
                would overwrite what the device wrote.
                """,
                "A 100-byte field in the middle of a structure is mapped for such a device: bounced, or sharedCacheLine.",
                "Align the start and the length to the cache line, or allow bouncing."
            ),
            (
                37, "coherent does not mean ordered",
                "In memory that both sides see at once, a barrier stands before the word that says the others are valid.",
                "A driver writes the valid bit of a descriptor before its address, and the device reads half a descriptor.",
                "Store the valid word with storeRelease and read it with loadAcquire."
            ),
            (
                38, "a pool's blocks are aligned, and all come back",
                "Blocks are aligned as asked and cross no boundary. A pool ends empty.",
                "A pool ends while three blocks are leased: memoryInUse, and DMA-S22 from the sanitizer.",
                "Let the blocks end before the pool; a block that a transaction has comes back with its completion."
            ),
            (
                39, "limits hold for each segment, and bounces are counted",
                """
                The longest segment, the segment boundary, the largest mapping and the alignment belong to the device. A bounce is copied at \
                map, sync and unmap, and counted.
                """,
                "A mapping of 3 MiB for a device with segments of 1 MiB has three regions.",
                "State the device's limits in DeviceConstraints; watch Domain.statistics for bounces that cost time."
            ),
        ]
    }
}
