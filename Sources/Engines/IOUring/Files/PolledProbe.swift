// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// Whether a file's device can be polled for completions: found out by one read.
///
/// On a ring with `IORING_SETUP_IOPOLL` everything else is refused by the kernel, transfers through the page cache too; so a
/// file that cannot be polled has no place on such an engine.
enum PolledProbe {
    /// EOPNOTSUPP where the device or its driver has no polling; nil where it can be polled.
    static func run(_ descriptor: FileDescriptor, alignment: UInt64) -> Errno? {
        // SAFETY: the ring is this function's own and has four entries; the read goes to memory of its own, as long as the read,
        // which is given up to the kernel where the read may still be under way.
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
                // The read may still be under way.
                memory.leak()
                return .timedOut
            }
            result = ring.reap()
        }
        return result.errno ?? KernelResult(unsafe ring.view.completion(0).pointee.result).errno
    }
}
