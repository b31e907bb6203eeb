// SPDX-License-Identifier: Apache-2.0

/// Consumes submissions from a ring and puts completions into it: the kernel, or the engine's threads.
///
/// One thread at a time, like the engine.
protocol Carrier: AnyObject {
    var view: RingView { get }
    var isKernel: Bool { get }
    /// Whether the calling thread may call it: a ring may belong to one thread.
    var belongsToCaller: Bool { get }
    /// Whether completions come only by a call of ``reap()`` or ``wait(_:nanoseconds:)``.
    var completesByCall: Bool { get }
    /// The supported operations, by opcode.
    var operations: [Bool] { get }
    /// How submissions are started without a call of the carrier.
    var submissionMethod: SubmissionMethod { get }
    /// Starts `count` submissions, which are in the ring. Returns how many were consumed.
    func submit(_ count: UInt32) -> KernelResult
    /// Makes the carrier put finished completions into the ring.
    func reap() -> KernelResult
    /// Starts `count` submissions and sleeps until there is a completion, at most for the given time.
    func wait(_ count: UInt32, nanoseconds: Int64) -> KernelResult
    /// From now on signals an event for each completion. False where that is not possible.
    func signal(_ event: Int32) -> Bool
    /// io_uring_register(2), or ENOSYS.
    func register(_ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32) -> KernelResult
}

extension Carrier {
    var belongsToCaller: Bool { true }
    var completesByCall: Bool { false }
}
