// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// An event of the kernel's (eventfd(2)): what a device, the kernel or another process signals instead of an interrupt.
///
/// The driver's side makes one, hands ``descriptor`` to whoever is to signal it (VFIO_DEVICE_SET_IRQS, IORING_REGISTER_EVENTFD, a vfio-user
/// server) and lets an ``EventWatcher`` raise a line for it. The device's side takes the one that it was given, and signals it.
///
/// Any thread may call anything. The descriptor is closed when nobody holds the event any more; it is not inherited over exec. A child of
/// fork(2) may signal.
public final class EventDescriptor: Sendable {
    /// The descriptor. It stays the event's: whoever wants one of his own duplicates it.
    public let descriptor: Int32

    /// Makes one.
    ///
    /// - Throws: `kernelRefused`, as for want of descriptors (EMFILE).
    public init() throws(DMAError) {
        let made = cdma_event_make(false)
        guard made >= 0 else { throw DMAError(.kernelRefused, errno: -made) }
        descriptor = made
    }

    /// Takes over a descriptor that somebody else has made, as a peer that wants to be signalled by it, and closes it at the end.
    ///
    /// It is set to O_NONBLOCK, for all who share it: a peer must not be able to make ``signal()`` wait by filling the counter.
    ///
    /// - Throws: `kernelRefused` with EBADF for what is not open, EINVAL for what is open but no event. The descriptor is the caller's then.
    public init(taking descriptor: Int32) throws(DMAError) {
        let found = cdma_event_is(descriptor)
        guard found == 1 else { throw DMAError(.kernelRefused, errno: found < 0 ? -found : EINVAL) }
        let set = cdma_event_never_waits(descriptor)
        guard set == 0 else { throw DMAError(.kernelRefused, errno: -set) }
        self.descriptor = descriptor
    }

    // Nobody holds it any more; Linux lets go of the descriptor whatever close(2) answers.
    deinit { _ = cdma_close(descriptor) }

    /// Signals it. Signals that nobody has looked at yet are one.
    ///
    /// - Throws: `kernelRefused`.
    public func signal() throws(DMAError) {
        let signalled = cdma_event_signal(descriptor)
        // EAGAIN: the counter is full, so that it is signalled.
        guard signalled == 0 || signalled == -EAGAIN else { throw DMAError(.kernelRefused, errno: -signalled) }
    }

    /// Takes what was signalled: whether there was anything.
    func clear() -> Bool { cdma_event_clear(descriptor) == 0 }
}
