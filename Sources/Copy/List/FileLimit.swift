// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
    private let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
#elseif canImport(Musl)
    internal import Musl
    private let resource = RLIMIT_NOFILE
#endif

/// How many files this process may have open: RLIMIT_NOFILE, getrlimit(2).
enum FileLimit {
    /// The soft limit.
    static var current: Int { limits.map { Int(clamping: $0.rlim_cur) } ?? 256 }

    /// Raises the soft limit to `count`, or to the hard limit. Where it cannot be raised, it stays.
    static func raise(to count: UInt64) {
        // SAFETY: the call reads a local structure.
        guard var limits, limits.rlim_cur < count else { return }
        limits.rlim_cur = min(limits.rlim_max, rlim_t(count))
        _ = unsafe setrlimit(resource, &limits)
    }

    private static var limits: rlimit? {
        // SAFETY: the call writes a local structure.
        var limits = rlimit()
        return unsafe getrlimit(resource, &limits) == 0 ? limits : nil
    }
}
