// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

/// The result of a system call, or of a request in a ring: a number, or an error.
struct KernelResult: Equatable {
    /// The kernel's encoding: a negative number is a negated error number.
    let rawValue: Int32

    init(_ rawValue: Int32) { self.rawValue = rawValue }
    init(_ errno: Errno) { rawValue = -errno.rawValue }

    static let success = KernelResult(0)

    /// The error; nil for a success.
    var errno: Errno? { rawValue < 0 ? Errno(rawValue: rawValue == .min ? .max : -rawValue) : nil }

    /// The number; throws the error as `kernelRefused`.
    @discardableResult
    func get() throws(DMAError) -> Int32 {
        if let errno { throw DMAError(.kernelRefused, errno: errno.rawValue) }
        return rawValue
    }
}

extension FileDescriptor {
    /// A descriptor returned by a system call.
    ///
    /// - Throws: `kernelRefused`.
    init(_ result: KernelResult) throws(DMAError) { self.init(rawValue: try result.get()) }

    /// Closes it. The descriptor is released in any case; a write that the file system had deferred may fail only here.
    func release() -> KernelResult {
        let result = KernelResult(cdma_close(rawValue))
        // close(2): Linux releases the descriptor before it checks for a signal.
        return result.errno == .interrupted ? .success : result
    }
}

/// Failed system calls during a release, where no caller can be informed: they are counted.
package enum ReleaseFailures {
    private struct Failures {
        var count: UInt64 = 0
        var last: Int32 = 0
    }

    private static let failures = Locked(Failures())

    /// The number of failures in this process.
    package static var count: UInt64 { failures.withLock { $0.count } }
    /// The error number of the last; 0 for none.
    package static var last: Int32 { failures.withLock { $0.last } }

    /// Counts a failure; ignores a success.
    static func note(_ result: KernelResult) {
        guard let errno = result.errno else { return }
        failures.withLock {
            $0.count += 1
            $0.last = errno.rawValue
        }
    }
}

/// Anonymous memory that a kernel object uses; unmapped when this value ends.
@safe
struct MappedPages: ~Copyable {
    let base: UnsafeMutableRawPointer
    let count: Int

    /// - Throws: `kernelRefused`.
    init(count: Int) throws(DMAError) {
        // SAFETY: the C function writes a local variable; only this value uses the mapping.
        var start: UnsafeMutableRawPointer?
        try KernelResult(unsafe cdma_map_anonymous(0, count, 0, &start)).get()
        guard let start = unsafe start else { throw DMAError(.kernelRefused, errno: Errno.noMemory.rawValue) }
        unsafe base = unsafe start
        self.count = count
    }

    /// Leaks the mapping, because the kernel may still write to it.
    consuming func leak() { discard self }

    // SAFETY: mapped by `init`, and no user of the address is left: the owner of this value ends last.
    deinit { ReleaseFailures.note(KernelResult(unsafe cdma_unmap(base, count))) }
}
