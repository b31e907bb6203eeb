// SPDX-License-Identifier: Apache-2.0

public import DMATypes

// How a descriptor encodes peripherals and commands in its words.

extension PeripheralPlace {
    /// Decodes the two words of a descriptor: 0 means the configured peripheral, and `UInt64.max` its current position.
    @inlinable
    public init(numberWord: UInt64, positionWord: UInt64) {
        self.init(
            number: numberWord == 0 ? nil : UInt32(truncatingIfNeeded: numberWord &- 1),
            position: positionWord == .max ? nil : positionWord)
    }

    /// 0 for the configured peripheral, otherwise its number plus 1.
    @inlinable public var numberWord: UInt64 { number.map { UInt64($0) &+ 1 } ?? 0 }
    /// The position in bytes, or `UInt64.max` for the current one. A position of `UInt64.max` is one less here: it is out of range either way.
    @inlinable public var positionWord: UInt64 { position.map { min($0, .max - 1) } ?? .max }
}

extension Descriptor {
    /// The peripheral of a peripheral, cyclic or command operation; for ``PeripheralCommand/move``, the one that is read.
    @inlinable
    public var place: PeripheralPlace {
        PeripheralPlace(numberWord: detail[0], positionWord: kind == .cyclic ? .max : value)
    }

    /// The command of a command operation; nil for other operations.
    @inlinable
    public var command: PeripheralCommand? {
        kind == .command ? PeripheralCommand(rawValue: UInt8(truncatingIfNeeded: detail[1])) : nil
    }

    /// The peripheral that ``PeripheralCommand/move`` and ``PeripheralCommand/duplicate`` write to.
    @inlinable
    public var secondPlace: PeripheralPlace { PeripheralPlace(numberWord: detail[2], positionWord: detail[3]) }
}
