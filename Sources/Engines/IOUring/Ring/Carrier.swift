// SPDX-License-Identifier: Apache-2.0

/// What takes submissions out of a ring and puts completions into one: the kernel, or our threads.
///
/// One thread at a time, like the engine.
protocol Carrier: AnyObject {
    var view: RingView { get }
    var isKernel: Bool { get }
    /// Whether the calling thread may call it: a ring may belong to one thread.
    var belongsToCaller: Bool { get }
    /// Whether completions come only by a call of ``reap()`` or ``wait(_:nanoseconds:)``.
    var completesByCall: Bool { get }
    /// Which operations it has, by opcode.
    var operations: [Bool] { get }
    /// How submissions are started without asking the carrier.
    var submissionMethod: SubmissionMethod { get }
    /// Starts `count` submissions, which are in the ring. How many were taken.
    func submit(_ count: UInt32) -> KernelResult
    /// Lets what is done, and has not been put into the ring, be put there.
    func reap() -> KernelResult
    /// Starts `count` submissions and sleeps until there is a completion, at most so long.
    func wait(_ count: UInt32, nanoseconds: Int64) -> KernelResult
    /// From now on signals an event for each completion. False where it cannot.
    func signal(_ event: Int32) -> Bool
    /// io_uring_register(2), or ENOSYS.
    func register(_ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32) -> KernelResult
}

extension Carrier {
    var belongsToCaller: Bool { true }
    var completesByCall: Bool { false }
}
