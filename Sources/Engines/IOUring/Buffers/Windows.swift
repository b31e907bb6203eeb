// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

extension IOUringEngine {
    /// Whether a range lies in registered memory, where the steady path's last window does not say so. Registers it, or not, as the
    /// configuration says; the window found becomes the steady path's.
    @usableFromInline @inline(never)
    mutating func findWindow(_ address: UInt64, _ count: UInt64) -> Bool {
        // SAFETY: the word is the registrar's, which the configuration holds, or the ring's flags, which the carrier holds; it is
        // accessed by atomics alone.
        guard let registrar = state.configuration.registrar, let table = state.buffers else { return false }
        // Before the look at the mappings: one that ends after it is noticed next time.
        let epoch = unsafe cdma_load_acquire32(epoch)
        guard let mapped = registrar.find(address, count), let window = table.window(mapped, address, count) else {
            return false
        }
        windowStart = window.start
        windowCount = window.count
        windowIndex = window.index
        windowEpoch = epoch
        return true
    }

    /// The same, for requests off the steady path: the window's number.
    mutating func window(_ address: UInt64, _ count: UInt64) -> UInt16? {
        // SAFETY: as above.
        guard mayRegister else { return nil }
        let into = address &- windowStart
        if into < windowCount, count <= windowCount - into, unsafe cdma_load_acquire32(epoch) == windowEpoch {
            return windowIndex
        }
        return findWindow(address, count) ? windowIndex : nil
    }
}
