// SPDX-License-Identifier: Apache-2.0
import CDMA

/// The part of RLIMIT_MEMLOCK that this process has left: the figures of the error ``DMAError/Code/memoryLocked``.
///
/// The kernel's error is only ENOMEM; this adds the requested and the remaining size.
package struct LockBudget: Equatable, Sendable {
    /// The soft limit in bytes; `UInt64.max` for no limit.
    package let limit: UInt64
    /// Bytes that the process has locked.
    package let locked: UInt64

    /// A budget with these figures, for planning with limits other than the process's own.
    package init(limit: UInt64, locked: UInt64) {
        self.limit = limit
        self.locked = locked
    }

    /// Bytes that may still be locked; `UInt64.max` where there is no limit.
    package var remaining: UInt64 {
        if limit == .max { return .max }
        return limit > locked ? limit - locked : 0
    }

    /// The budget of this process now: getrlimit(2), and VmLck of /proc/self/status (0 where /proc is not mounted).
    package static var current: LockBudget {
        let status = ProcessFile.read("/proc/self/status", capacity: 8192) ?? []
        return LockBudget(limit: cdma_lock_limit(), locked: lockedBytes(inStatus: status))
    }

    /// The value of the line `VmLck: <n> kB`, in bytes; 0 where the line is missing or not a number.
    package static func lockedBytes(inStatus status: [UInt8]) -> UInt64 {
        for line in status.split(separator: UInt8(ascii: "\n")) {
            guard line.starts(with: Array("VmLck:".utf8)) else { continue }
            var kilobytes: UInt64 = 0
            for byte in line.dropFirst(6) where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") {
                let (product, overflow) = kilobytes.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
                if overflow || carry { return 0 }
                kilobytes = sum
            }
            let (bytes, overflow) = kilobytes.multipliedReportingOverflow(by: 1024)
            return overflow ? 0 : bytes
        }
        return 0
    }
}

/// Reads small files of /proc and /sys: bounded; nil on failure.
enum ProcessFile {
    static func read(_ path: String, capacity: Int) -> [UInt8]? {
        // SAFETY: the C function writes at most the capacity that it is given and returns the number of bytes written, which
        // count as filled.
        var failed = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
            // The C function writes at most `capacity` bytes and returns how many it wrote.
            let count = unsafe cdma_read_file(path, buffer.baseAddress, buffer.count)
            failed = count < 0
            filled = failed ? 0 : Int(count)
        }
        return failed ? nil : bytes
    }
}
