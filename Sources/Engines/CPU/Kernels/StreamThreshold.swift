// SPDX-License-Identifier: Apache-2.0

internal import CDMA

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// From which length a copy is faster past the cache than through it.
///
/// That depends on caches, memory and neighbours, so it is measured once in a process: copies of doubling length between the
/// same two buffers (the case that favours the cache most), memcpy beside streaming, until streaming wins. It touches 16 MiB
/// and stops after 40 ms.
enum StreamThreshold {
    /// Where nothing could be measured. Bytes.
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
        // Written, because pages that were only read are all the same page of zeros.
        unsafe cdma_set(memory, 1, length)
        let start = cdma_monotonic_nanoseconds()
        var count = shortest
        while count <= longest {
            // Each leaves the caches as it would find them in a row of its kind: so each runs twice, and the second counts.
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
