// SPDX-License-Identifier: Apache-2.0

internal import CDMA

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The length from which a copy is faster with streaming stores than through the cache.
///
/// It depends on caches, memory and other processes, so it is measured once per process: copies of doubling length between the
/// same two buffers (the case that favours the cache most), memcpy against streaming stores, until streaming is faster. It uses
/// 16 MiB and stops after 40 ms.
enum StreamThreshold {
    /// The value where nothing could be measured. Bytes.
    static let fallback = 4 << 20

    private static let shortest = 512 << 10
    private static let longest = 8 << 20
    private static let budget: Int64 = 40_000_000

    static func measured(_ path: KernelPath) -> Int {
        // SAFETY: the mapping is this function's own, as long as both buffers together, and ends with it; no count is more than
        // half of it.
        let length = 2 * longest
        guard let memory = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe memory != MAP_FAILED
        else { return fallback }
        // The only user of the mapping, which is as long as both buffers together.
        defer { unsafe munmap(memory, length) }
        let from = unsafe UnsafeRawPointer(memory + longest)
        // Written, because pages that were only read all map the zero page.
        unsafe cdma_set(memory, 1, length)
        let start = cdma_monotonic_nanoseconds()
        var count = shortest
        while count <= longest {
            // Each leaves the caches as a series of its kind would: so each runs twice, and the second run counts.
            var library = Int64.max
            var streaming = Int64.max
            for _ in 0..<3 {
                if cdma_monotonic_nanoseconds() - start > budget { return max(fallback, count) }
                unsafe cdma_copy(memory, from, count)
                library = min(library, time { unsafe cdma_copy(memory, from, count) })
                unsafe cdma_copy_stream(path.width, memory, from, count)
                streaming = min(streaming, time { unsafe cdma_copy_stream(path.width, memory, from, count) })
            }
            if streaming < library { return count }
            count *= 2
        }
        return 2 * longest
    }

    private static func time(_ body: () -> Void) -> Int64 {
        let begin = cdma_monotonic_nanoseconds()
        body()
        return cdma_monotonic_nanoseconds() - begin
    }
}
