// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

extension IOUringEngine {
    /// Whether a range lies in registered memory, if it is outside the fast path's last window. Registers memory according to
    /// the configuration; the window found becomes the fast path's.
    @usableFromInline @inline(never)
    mutating func findWindow(_ address: UInt64, _ count: UInt64) -> Bool {
        // SAFETY: the word is the registrar's, which the configuration keeps, or the ring's flags, which the carrier keeps; it
        // is accessed only by atomics.
        guard let registrar = state.configuration.registrar, let table = state.buffers else { return false }
        // Read before the mappings: a mapping that ends after it is noticed next time.
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

    /// The same for requests off the fast path: the window's number.
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
