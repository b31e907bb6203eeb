// SPDX-License-Identifier: Apache-2.0

import CProcessMemory
import DMADriverKit
import Glibc

/// The two system calls, and the error numbers that the engine distinguishes.
enum Kernel {
    static let permissionDenied = EPERM
    static let noSuchCall = ENOSYS
    static let badAddress = EFAULT
    static let outOfMemory = ENOMEM
    /// For a call that neither moved bytes nor failed, which no kernel does.
    static let noProgress = EIO

    /// Moves bytes from one list of ranges to another of the same length. Returns how many were moved, or a negative errno.
    ///
    /// Unsafe: the caller vouches that the targets may be written and that no other code accesses either side meanwhile.
    /// Addresses that are not mapped are an error, not a fault.
    @unsafe
    static func move(_ call: ProcessMemorySettings.Call, from sources: [Segment], to targets: [Segment]) -> Int {
        // SAFETY: both lists live until the call returns, and their counts are their own. The caller vouches for the memory
        // that they describe.
        unsafe list(sources).withUnsafeBufferPointer { sources in
            unsafe list(targets).withUnsafeBufferPointer { targets in
                switch call {
                case .read:
                    unsafe process_memory_read(sources.baseAddress, sources.count, targets.baseAddress, targets.count)
                case .write:
                    unsafe process_memory_write(sources.baseAddress, sources.count, targets.baseAddress, targets.count)
                }
            }
        }
    }

    /// Whether the byte at `address` can be read: the kernel checks it, so that an unmapped address is an error and not a
    /// fault.
    static func canRead(_ address: UInt64) -> Bool {
        var byte: UInt8 = 0
        // SAFETY: the target is a local variable of one byte, which no other code uses; the source is only read.
        return unsafe withUnsafeMutableBytes(of: &byte) { target in
            let target = Segment(address: UInt64(UInt(bitPattern: target.baseAddress)), count: 1)
            return unsafe move(.read, from: [Segment(address: address, count: 1)], to: [target]) == 1
        }
    }

    /// The kernel's form of a list. An address or a count that does not fit into a machine word becomes the largest, which is
    /// not mapped.
    private static func list(_ segments: [Segment]) -> [iovec] {
        // SAFETY: the pointers are numbers for the kernel; this process does not dereference them.
        unsafe segments.map { segment in
            unsafe iovec(
                iov_base: UnsafeMutableRawPointer(bitPattern: UInt(clamping: segment.address)),
                iov_len: Int(clamping: segment.count))
        }
    }
}
