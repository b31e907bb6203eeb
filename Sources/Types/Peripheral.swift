// SPDX-License-Identifier: Apache-2.0

/// A place on the far side of a peripheral transfer: which peripheral, and where in it.
///
/// The kernel's `dma_slave_config` names a register for the whole channel. Storage has places, and one channel reaches several
/// files or namespaces; so each transaction may name its own.
@frozen
public struct PeripheralPlace: Equatable, Sendable {
    /// The engine's own number; nil for the one that `configure` chose last.
    public var number: UInt32?
    /// Bytes from the peripheral's beginning, below 2⁶³; nil for the current position, which is all that a FIFO, pipe or socket knows.
    public var position: UInt64?

    /// Peripheral `number`, at `position`.
    @inlinable
    public init(number: UInt32? = nil, position: UInt64? = nil) {
        self.number = number
        self.position = position
    }

    /// The configured peripheral, at its current position.
    @inlinable public static var configured: PeripheralPlace { PeripheralPlace() }

    /// The configured peripheral at `position`.
    @inlinable
    public static func at(_ position: UInt64) -> PeripheralPlace { PeripheralPlace(position: position) }
}

/// A file that becomes a peripheral of an engine: storage, a pipe, a socket, a character device.
///
/// The kernel's client names its device by `dma_request_chan`; a process names one by a file descriptor.
@frozen
public struct PeripheralFile: Equatable, Sendable {
    /// Whether transfers go past the page cache.
    @frozen
    public enum Cache: UInt8, Hashable, Sendable, CaseIterable {
        /// As the descriptor was opened.
        case asOpened
        /// Through the page cache.
        case buffered
        /// Past it where address, position and length are multiples of what the device asks; the rest of a transfer, its unaligned head and
        /// tail, goes through the cache.
        case direct
    }

    /// Open, and with the access that the transfers need. The engine makes a duplicate: the client may close its own at any time.
    public var descriptor: Int32
    /// Whether transfers go past the page cache.
    public var cache: Cache
    /// Whether a transfer from a stream ends with the bytes that have come, as read(2) does, with the rest as residue; otherwise it
    /// ends when it is full or the stream has ended.
    public var endsShort: Bool

    /// The file open as `descriptor`.
    @inlinable
    public init(_ descriptor: Int32, cache: Cache = .asOpened, endsShort: Bool = false) {
        self.descriptor = descriptor
        self.cache = cache
        self.endsShort = endsShort
    }
}

/// What a peripheral is told to do without any of the client's memory: the part of storage and streams that is no transfer.
///
/// Source: the kernel's `enum req_op`; NVM Express Base Specification, section "I/O commands"; fallocate(2), splice(2), tee(2).
@frozen
public enum PeripheralCommand: UInt8, Hashable, Sendable, CaseIterable {
    /// Everything written so far is on the medium, and what describes it too: `REQ_OP_FLUSH`, fsync(2).
    case flush = 0
    /// The same of the data alone: fdatasync(2).
    case flushData = 1
    /// Room for a range: fallocate(2).
    case allocate = 2
    /// A range reads as zeroes from here on: `REQ_OP_WRITE_ZEROES`.
    case zero = 3
    /// A range's contents are not needed any more: `REQ_OP_DISCARD`, a hole.
    case discard = 4
    /// Bytes go from one peripheral to another: `DMA_DEV_TO_DEV`, splice(2).
    case move = 5
    /// Bytes go to another peripheral and stay in the first: tee(2).
    case duplicate = 6
}

/// A set of commands.
@frozen
public struct PeripheralCommandSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// One command alone.
    @inlinable public init(_ command: PeripheralCommand) { rawValue = 1 << UInt32(command.rawValue) }
    /// These commands.
    public init(_ commands: [PeripheralCommand]) { rawValue = commands.reduce(0) { $0 | 1 << UInt32($1.rawValue) } }
    /// The commands in the set, in the order of their raw values.
    public var commands: [PeripheralCommand] {
        PeripheralCommand.allCases.filter { contains(PeripheralCommandSet($0)) }
    }
}
