// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

extension Operation {
    /// Tells a peripheral to do something that touches no memory of the client: flush, allocate, discard.
    ///
    /// - Parameters:
    ///   - command: what; among the capabilities' `Capabilities.commands`.
    ///   - place: where it begins.
    ///   - count: bytes of the range; 0 where the command takes none, as a flush.
    ///   - flags: a fence, an interrupt.
    @inlinable @inline(__always)
    public static func command(
        _ command: PeripheralCommand, at place: PeripheralPlace = .configured, count: Int = 0,
        flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .command, source: none(), destination: none(), length: word(count),
            payload: .command(command, place, to: .configured), flags: flags)
    }

    /// Moves bytes from one peripheral to another without the client's memory: `DMA_DEV_TO_DEV`.
    ///
    /// - Parameters:
    ///   - source: where they come from.
    ///   - target: where they go.
    ///   - count: bytes.
    ///   - duplicates: whether the bytes stay in the first peripheral too (tee(2)).
    ///   - flags: a fence, an interrupt.
    @inlinable @inline(__always)
    public static func betweenPeripherals(
        from source: PeripheralPlace, to target: PeripheralPlace, count: Int, duplicates: Bool = false,
        flags: DescriptorFlags = []
    ) -> Operation {
        Operation(
            .command, source: none(), destination: none(), length: word(count),
            payload: .command(duplicates ? .duplicate : .move, source, to: target), flags: flags)
    }
}
