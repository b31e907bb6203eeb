// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// What a system call, or a request that a ring carried, came to: a number, or why there is none.
struct KernelResult: Equatable {
    /// As the kernel gives it: a negative number is an error's, negated.
    let rawValue: Int32

    init(_ rawValue: Int32) { self.rawValue = rawValue }
    init(_ errno: Errno) { rawValue = -errno.rawValue }

    static let success = KernelResult(0)

    /// Why the call failed; nil where it did not.
    var errno: Errno? { rawValue < 0 ? Errno(rawValue: rawValue == .min ? .max : -rawValue) : nil }

    /// The number, or the error as `kernelRefused`.
    @discardableResult
    func get() throws(DMAError) -> Int32 {
        if let errno { throw DMAError(.kernelRefused, errno: errno.rawValue) }
        return rawValue
    }
}

extension FileDescriptor {
    /// A descriptor that the kernel gave as the result of a call.
    ///
    /// - Throws: `kernelRefused`.
    init(_ result: KernelResult) throws(DMAError) { self.init(rawValue: try result.get()) }

    /// Closes it. The descriptor is gone in any case; a write that the file system had put off may fail only here.
    func release() -> KernelResult {
        let result = KernelResult(cdma_close(rawValue))
        // close(2): Linux has let go of the descriptor before a signal is looked at.
        return result.errno == .interrupted ? .success : result
    }
}

/// System calls that failed while something was let go of, where nobody can be told: they are counted.
package enum ReleaseFailures {
    private struct Failures {
        var count: UInt64 = 0
        var last: Int32 = 0
    }

    private static let failures = Locked(Failures())

    /// How many there were in this process.
    package static var count: UInt64 { failures.withLock { $0.count } }
    /// The error number of the last; 0 for none.
    package static var last: Int32 { failures.withLock { $0.last } }

    /// Counts a failure; a success is none.
    static func note(_ result: KernelResult) {
        guard let errno = result.errno else { return }
        failures.withLock {
            $0.count += 1
            $0.last = errno.rawValue
        }
    }
}

/// Anonymous memory that a kernel object uses; unmapped at its end.
@safe
struct MappedPages: ~Copyable {
    let base: UnsafeMutableRawPointer
    let count: Int

    /// - Throws: `kernelRefused`.
    init(count: Int) throws(DMAError) {
        // SAFETY: the C function writes a local variable; what it maps is this value's alone.
        var start: UnsafeMutableRawPointer?
        try KernelResult(unsafe cdma_map_anonymous(0, count, 0, &start)).get()
        guard let start = unsafe start else { throw DMAError(.kernelRefused, errno: Errno.noMemory.rawValue) }
        unsafe base = unsafe start
        self.count = count
    }

    /// Leaves the memory mapped for good: the kernel may still write to it.
    consuming func leak() { discard self }

    // SAFETY: mapped by `init`, and nothing that was given the address is left: the owner of this value ends last.
    deinit { ReleaseFailures.note(KernelResult(unsafe cdma_unmap(base, count))) }
}
