// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// The calls of a backend. A noncopyable value, so that a call does not retain the backend: see ``DomainCore``.
struct BackendCalls: ~Copyable, Sendable {
    private let backend: any MappingBackend
    /// Whether there is a backend. Without one the calls do nothing.
    let isThere: Bool

    init(_ backend: (any MappingBackend)?) {
        self.backend = backend ?? NoBackend()
        isThere = backend != nil
    }

    /// Whether the device or peer is proved gone, so that none of its mappings reaches memory any more.
    var isDead: Bool { backend.isDead }

    @inline(__always)
    borrowing func map(_ run: TranslatedRun, _ access: DeviceAccess) throws(DMAError) {
        try backend.map(at: IOVA(run.iova), run.source, count: run.count, access: access)
    }

    /// - Throws: errors of the backend; `partialUnmap`.
    @inline(__always)
    borrowing func unmap(_ run: TranslatedRun) throws(DMAError) {
        let count = try backend.unmap(at: IOVA(run.iova), count: run.count)
        guard count == run.count else { throw DMAError(.partialUnmap, asked: run.count, limit: count) }
    }

    /// Maps runs in order, until one is refused.
    ///
    /// - Parameter done: set to the number of mapped runs.
    @unsafe
    borrowing func map(
        _ runs: UnsafeMutablePointer<TranslatedRun>, _ count: Int, _ access: DeviceAccess, done: inout Int
    ) throws(DMAError) {
        // SAFETY: the caller has `count` initialized runs there.
        var run = unsafe runs
        let end = unsafe runs + count
        do throws(DMAError) {
            while unsafe run != end {
                try unsafe map(run.pointee, access)
                unsafe run += 1
            }
            done = count
        } catch {
            done = unsafe run - runs
            throw error
        }
    }

    /// Unmaps runs, the last first, until one is refused.
    ///
    /// - Parameter left: the number of runs; afterwards the index of the refused one, or 0.
    @unsafe
    borrowing func unmap(_ runs: UnsafeMutablePointer<TranslatedRun>, left: inout Int) throws(DMAError) {
        // SAFETY: the caller has `left` initialized runs there.
        var run = unsafe runs + left
        do throws(DMAError) {
            while unsafe run != runs {
                unsafe run -= 1
                try unsafe unmap(run.pointee)
            }
            left = 0
        } catch {
            left = unsafe run - runs
            throw error
        }
    }

    /// The stand-in for a missing backend: unwrapping an optional existential would retain it at each call.
    private final class NoBackend: MappingBackend {
        func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) {}
        func unmap(at iova: IOVA, count: UInt64) -> UInt64 { count }
    }
}
