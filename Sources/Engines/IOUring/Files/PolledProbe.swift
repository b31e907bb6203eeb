// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Whether a file's device can be polled for completions: found out by one read.
///
/// On a ring with `IORING_SETUP_IOPOLL` everything else is refused by the kernel, transfers through the page cache too; so a
/// file that cannot be polled has no place on such an engine.
enum PolledProbe {
    /// 0, or a negative errno: EOPNOTSUPP where the device or its driver has no polling.
    static func run(_ descriptor: Int32, alignment: UInt64) -> Int32 {
        var configuration = IOUringConfiguration(depth: 1, path: .ring)
        configuration.polledCompletions = true
        let ring: KernelRing
        do throws(DMAError) { ring = try KernelRing(configuration, submissions: 4) } catch { return -error.errno }
        guard ring.setup & SetupFlags.completionPolling != 0 else { return -95 }
        let count = Int(max(alignment, 4096))
        var start: UnsafeMutableRawPointer?
        guard unsafe cdma_map_anonymous(0, count, 0, &start) == 0, let memory = unsafe start else { return -12 }
        var request = cdma_uring_sqe()
        request.opcode = Opcode.read
        request.fd = descriptor
        request.address = UInt64(UInt(bitPattern: memory))
        request.length = UInt32(count)
        unsafe ring.view.submission(0).pointee = request
        unsafe cdma_store_release32(ring.view.submissionTail, 1)
        var result = ring.submit(1)
        let limit = cdma_monotonic_nanoseconds() + 5_000_000_000
        while result >= 0, unsafe cdma_load_acquire32(ring.view.completionTail) == 0 {
            // The memory is left where it is: the read may still be under way.
            if cdma_monotonic_nanoseconds() > limit { return -110 }
            result = ring.reap()
        }
        if result >= 0 { result = unsafe ring.view.completion(0).pointee.result }
        unsafe _ = cdma_unmap(memory, count)
        return min(result, 0)
    }
}
