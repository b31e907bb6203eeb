// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// Copies between two lists of segments that need not match.
enum ScatterWalk {
    /// Does `count` bytes at `offset` of the two lists taken as one range each. False where they are shorter, or an address is
    /// none.
    ///
    /// Finding the place is linear in the number of segments: of a piece of many kilobytes, a small part of its time.
    static func copy(
        _ descriptor: Descriptor, _ kernels: Kernels, at offset: Int, count: Int, whole: Int
    ) -> Bool {
        var source = Cursor()
        var destination = Cursor()
        guard source.advance(by: offset, number: Int(descriptor.sourceCount), descriptor.sourceSegment),
            destination.advance(by: offset, number: Int(descriptor.destinationCount), descriptor.destinationSegment)
        else { return false }
        var left = count
        while left > 0 {
            let from = descriptor.sourceSegment(source.segment)
            let to = descriptor.destinationSegment(destination.segment)
            let length = min(left, Int(clamping: from.count) - source.offset, Int(clamping: to.count) - destination.offset)
            guard length > 0,
                let start = unsafe UnsafeRawPointer(bitPattern: UInt(from.address)),
                let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(to.address))
            else { return false }
            unsafe kernels.copyPart(to: target + destination.offset, from: start + source.offset, count: length, of: whole)
            left -= length
            guard left > 0 else { return true }
            guard source.advance(by: length, number: Int(descriptor.sourceCount), descriptor.sourceSegment),
                destination.advance(by: length, number: Int(descriptor.destinationCount), descriptor.destinationSegment)
            else { return false }
        }
        return true
    }

    /// A place in a list: a segment that has bytes left, and how many of them lie before the place.
    struct Cursor {
        var segment = 0
        var offset = 0

        /// Moves on, over segments that are at an end or empty. False where the list ends before.
        mutating func advance(by count: Int, number: Int, _ segments: (Int) -> Segment) -> Bool {
            var left = count
            while segment < number {
                let rest = Int(clamping: segments(segment).count) - offset
                if left < rest {
                    offset += left
                    return true
                }
                left -= rest
                segment += 1
                offset = 0
            }
            return false
        }
    }
}
