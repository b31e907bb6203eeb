// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

extension Operation {
    /// Sends a peripheral a command that uses no memory of the client: flush, allocate, discard.
    ///
    /// - Parameters:
    ///   - command: one of the capabilities' `Capabilities.commands`.
    ///   - place: the beginning of the range.
    ///   - count: bytes of the range; 0 for a command without one, such as a flush.
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
    ///   - source: where the bytes are read.
    ///   - target: where they are written.
    ///   - count: bytes.
    ///   - duplicates: whether the bytes also stay in the first peripheral (tee(2)).
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
