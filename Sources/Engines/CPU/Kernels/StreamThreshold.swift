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
/// and stops after 30 ms.
enum StreamThreshold {
    /// Where nothing could be measured. Bytes.
    static let fallback = 4 << 20

    private static let shortest = 512 << 10
    private static let longest = 8 << 20
    private static let budget: Int64 = 30_000_000

    static func measured(_ path: KernelPath) -> Int {
        let length = 2 * longest
        guard let memory = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe memory != MAP_FAILED
        else { return fallback }
        // The only user of the mapping, which is as long as both buffers together.
        defer { unsafe munmap(memory, length) }
        let from = unsafe UnsafeRawPointer(memory + longest)
        let start = cdma_monotonic_nanoseconds()
        var count = shortest
        while count <= longest {
            // The first pair brings in the pages; the better of the next two counts.
            var library = Int64.max
            var streaming = Int64.max
            for round in 0..<3 {
                let begin = cdma_monotonic_nanoseconds()
                if begin - start > budget { return max(fallback, count) }
                unsafe cdma_copy(memory, from, count)
                let middle = cdma_monotonic_nanoseconds()
                unsafe cdma_copy_stream(path.width, memory, from, count)
                let end = cdma_monotonic_nanoseconds()
                guard round > 0 else { continue }
                library = min(library, middle - begin)
                streaming = min(streaming, end - middle)
            }
            if streaming < library { return count }
            count *= 2
        }
        return 2 * longest
    }
}
