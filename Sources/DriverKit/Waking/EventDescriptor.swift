// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMATypes

/// An event of the kernel (eventfd(2)), which a device, the kernel or another process signals instead of an interrupt.
///
/// The driver's side creates one, passes ``descriptor`` to the signalling side (VFIO_DEVICE_SET_IRQS, IORING_REGISTER_EVENTFD,
/// a vfio-user server) and lets an ``EventWatcher`` raise a line for it. The device's side adopts the descriptor that it
/// receives, and signals it.
///
/// Any thread may call any function. The descriptor is closed when the last reference to the event is released; it is not
/// inherited over exec. A child of fork(2) may signal.
public final class EventDescriptor: Sendable {
    /// The descriptor. The event owns it: duplicate it to keep it.
    public let descriptor: Int32

    /// Creates an event.
    ///
    /// - Throws: `kernelRefused`, for instance where no descriptor is available (EMFILE).
    public init() throws(DMAError) {
        let made = cdma_event_make(false)
        guard made >= 0 else { throw DMAError(.kernelRefused, errno: -made) }
        descriptor = made
    }

    /// Takes ownership of a descriptor that was created elsewhere, for instance by a peer that is to be signalled, and closes
    /// it at the end.
    ///
    /// It is set to O_NONBLOCK, for all processes that share it: otherwise a peer could make ``signal()`` wait by filling the
    /// counter.
    ///
    /// - Throws: `kernelRefused` with EBADF for a closed descriptor, EINVAL for one that is no eventfd. The caller keeps the
    ///   descriptor then.
    public init(taking descriptor: Int32) throws(DMAError) {
        let found = cdma_event_is(descriptor)
        guard found == 1 else { throw DMAError(.kernelRefused, errno: found < 0 ? -found : EINVAL) }
        let set = cdma_event_never_waits(descriptor)
        guard set == 0 else { throw DMAError(.kernelRefused, errno: -set) }
        self.descriptor = descriptor
    }

    // No reference is left; Linux releases the descriptor whatever close(2) returns.
    deinit { _ = cdma_close(descriptor) }

    /// Signals the event. Signals that were not read yet are merged.
    ///
    /// - Throws: `kernelRefused`.
    public func signal() throws(DMAError) {
        let signalled = cdma_event_signal(descriptor)
        // EAGAIN: the counter is full, so that the event is signalled.
        guard signalled == 0 || signalled == -EAGAIN else { throw DMAError(.kernelRefused, errno: -signalled) }
    }

    /// Reads and clears the signal. Returns whether there was one.
    func clear() -> Bool { cdma_event_clear(descriptor) == 0 }
}
