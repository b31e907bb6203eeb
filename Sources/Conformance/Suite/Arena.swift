// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Memory for work that is stopped while it is running.
///
/// It outlives every engine of the run. An engine that writes after it has reported that it stopped corrupts only this, and is
/// detected instead of damaging the process.
@safe
final class Arena: Sendable {
    // SAFETY: immutable. Slices of the memory are passed to engines, each used by one transaction at a time.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    let count: Int

    init(count: Int) {
        self.count = count
        // SAFETY: owned by this value, which frees it in `deinit`; mappings of it keep the value alive.
        unsafe base = .allocate(byteCount: max(count, 1), alignment: 4096)
        // SAFETY: the number of bytes that were allocated. Not by a loop, which takes longer than the work in an unoptimised
        // build.
        unsafe memset(base, 0, count)
    }

    // SAFETY: the allocation of `init`; no mapping is left, or it would keep this value alive.
    deinit { unsafe base.deallocate() }

    /// `count` bytes from `offset` on, initialized with `image`, mapped; nil where the arena is too small.
    ///
    /// The caller has nothing else in flight on these bytes. The mapping keeps the arena alive.
    func mapped(
        _ image: [UInt8], at offset: Int, direction: Direction, for domain: Domain
    ) throws(DMAError) -> MappedBuffer? {
        guard offset >= 0, offset <= count, image.count > 0, image.count <= count - offset else { return nil }
        // SAFETY: inside the allocation by the guard; `onRelease` holds the arena until neither CPU nor device reaches the bytes.
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: base + offset, count: image.count)
        var buffer = unsafe try Buffer(importing: bytes) { [self] in withExtendedLifetime(self) {} }
        buffer.withMutableBytes { $0.put(image) }
        return try buffer.mapped(for: domain, direction: direction)
    }

    /// Writes `image` from `offset` on: after the end of a channel, when no engine may use the memory.
    func put(_ image: [UInt8], at offset: Int) {
        guard offset >= 0, offset + image.count <= count else { return }
        // SAFETY: inside the allocation by the guard, and apart from the array.
        unsafe image.withUnsafeBytes {
            unsafe UnsafeMutableRawBufferPointer(start: base + offset, count: image.count).copyMemory(from: $0)
        }
    }

    /// Whether the bytes from `offset` on equal `image`.
    func holds(_ image: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, offset + image.count <= count else { return false }
        // SAFETY: inside the allocation by the guard. The caller looks for an engine that still writes here: a byte may have
        // any value, and is only compared.
        let found = unsafe RawSpan(_unsafeStart: base + offset, byteCount: image.count)
        return Oracle.equal(found, image)
    }
}
