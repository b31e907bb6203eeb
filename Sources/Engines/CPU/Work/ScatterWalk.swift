// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// Copies between two lists of segments with different boundaries.
enum ScatterWalk {
    /// Copies between lists whose segments have the same lengths, one by one. False, before or after some were copied, where
    /// they have not, or for a null address; ``copy(_:sources:destinations:_:at:count:whole:)`` then does it, or finds the
    /// same.
    ///
    /// - Parameter list: `sources` segments, then `destinations`.
    @unsafe @inline(__always)
    static func copyMatching(
        _ list: UnsafePointer<Segment>, _ sources: Int, _ destinations: Int, _ kernels: Kernels, whole: Int
    ) -> Bool {
        // SAFETY: the counts are those of the list, whose memory the transaction owns.
        guard sources == destinations, whole < kernels.streamThreshold else { return false }
        var (from, to) = unsafe (list, list + sources)
        let end = unsafe to
        while unsafe from != end {
            guard unsafe from.pointee.count == to.pointee.count,
                let start = unsafe UnsafeRawPointer(bitPattern: UInt(from.pointee.address)),
                let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(to.pointee.address))
            else { return false }
            unsafe kernels.copyCached(to: target, from: start, count: Int(truncatingIfNeeded: from.pointee.count))
            unsafe from += 1
            unsafe to += 1
        }
        return true
    }

    /// Copies `count` bytes at `offset` of the two lists, each taken as one range. False where they are shorter, or for a null
    /// address.
    ///
    /// Finding the position is linear in the number of segments: a small part of the time of a piece of many kilobytes.
    ///
    /// - Parameter list: `sources` segments, then `destinations`.
    @unsafe
    static func copy(
        _ list: UnsafePointer<Segment>, sources: Int, destinations: Int, _ kernels: Kernels, at offset: Int, count: Int,
        whole: Int
    ) -> Bool {
        // SAFETY: the counts are those of the list, whose memory the transaction owns.
        var source = unsafe SegmentCursor(list, number: sources)
        var destination = unsafe SegmentCursor(list + sources, number: destinations)
        guard source.advance(by: UInt64(truncatingIfNeeded: offset)),
            destination.advance(by: UInt64(truncatingIfNeeded: offset))
        else { return false }
        var left = UInt64(truncatingIfNeeded: count)
        while true {
            let length = min(left, min(source.rest.count, destination.rest.count))
            guard let start = unsafe UnsafeRawPointer(bitPattern: UInt(source.rest.address)),
                let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(destination.rest.address))
            else { return false }
            unsafe kernels.copyPart(to: target, from: start, count: Int(truncatingIfNeeded: length), of: whole)
            left &-= length
            if left == 0 { return true }
            guard source.advance(by: length), destination.advance(by: length) else { return false }
        }
    }
}

/// A position in a list of segments: the first segment with bytes left, and its rest.
@safe
struct SegmentCursor {
    private var next: UnsafePointer<Segment>
    private let end: UnsafePointer<Segment>
    /// From the place to the end of its segment.
    private(set) var rest = Segment(address: 0, count: 0)

    /// Before the first of `number` segments; ``advance(by:)`` with 0 moves to its first byte.
    @unsafe
    init(_ list: UnsafePointer<Segment>, number: Int) {
        // SAFETY: the caller vouches for `number` segments; `end` is the address after the last, which is not read.
        unsafe next = unsafe list
        unsafe end = unsafe list + number
    }

    /// Advances, across ends and empty segments. False where the list ends before.
    @inline(__always)
    mutating func advance(by count: UInt64) -> Bool {
        var left = count
        while left >= rest.count {
            left &-= rest.count
            guard unsafe next != end else {
                rest = Segment(address: 0, count: 0)
                return false
            }
            // SAFETY: not the end; the caller of `init` keeps the list.
            rest = unsafe next.pointee
            unsafe next += 1
        }
        rest.address &+= left
        rest.count &-= left
        return true
    }
}
