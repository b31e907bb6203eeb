// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// Whether a file's device can be polled for completions: determined by one read.
///
/// On a ring with `IORING_SETUP_IOPOLL` the kernel refuses everything else, also transfers through the page cache; so a file
/// that cannot be polled cannot be attached to such an engine.
enum PolledProbe {
    /// EOPNOTSUPP where the device or its driver does not support polling; nil where it does.
    static func run(_ descriptor: FileDescriptor, alignment: UInt64) -> Errno? {
        // SAFETY: the ring is this function's own and has four entries; the read uses memory of its own, as long as the read,
        // which is leaked where the read may still be in progress.
        var configuration = IOUringConfiguration(depth: 1, path: .ring)
        configuration.polledCompletions = true
        let ring: KernelRing
        do throws(DMAError) { ring = try KernelRing(configuration, submissions: 4) } catch {
            return Errno(rawValue: error.errno)
        }
        guard ring.setup & SetupFlags.completionPolling != 0 else { return .notSupportedOnSocket }
        let count = Int(max(alignment, 4096))
        guard let memory = try? MappedPages(count: count) else { return .noMemory }
        var request = cdma_uring_sqe()
        request.opcode = Opcode.read
        request.fd = descriptor.rawValue
        request.address = unsafe UInt64(UInt(bitPattern: memory.base))
        request.length = UInt32(count)
        unsafe ring.view.submission(0).pointee = request
        unsafe cdma_store_release32(ring.view.submissionTail, 1)
        var result = ring.submit(1)
        let limit = cdma_monotonic_nanoseconds() + 5_000_000_000
        while result.errno == nil, unsafe cdma_load_acquire32(ring.view.completionTail) == 0 {
            if cdma_monotonic_nanoseconds() > limit {
                // The read may still be in progress.
                memory.leak()
                return .timedOut
            }
            result = ring.reap()
        }
        return result.errno ?? KernelResult(unsafe ring.view.completion(0).pointee.result).errno
    }
}
