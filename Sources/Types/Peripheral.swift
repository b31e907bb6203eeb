// SPDX-License-Identifier: Apache-2.0

/// The far side of a peripheral transfer: a peripheral, and a position in it.
///
/// The kernel's `dma_slave_config` names one register for the whole channel. Storage has positions, and one channel may reach
/// several files or namespaces; so each transaction can name its own place.
@frozen
public struct PeripheralPlace: Equatable, Sendable {
    /// The engine's own number of the peripheral; nil for the configured one.
    public var number: UInt32?
    /// Bytes from the peripheral's beginning, below 2⁶³; nil for the current position, the only one that a FIFO, pipe or socket
    /// has.
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

/// A file to be attached as a peripheral of an engine: storage, a pipe, a socket, a character device.
///
/// The kernel's client names its device by `dma_request_chan`; a process names it by a file descriptor.
@frozen
public struct PeripheralFile: Equatable, Sendable {
    /// Whether transfers bypass the page cache.
    @frozen
    public enum Cache: UInt8, Hashable, Sendable, CaseIterable {
        /// As the descriptor was opened (O_DIRECT or not).
        case asOpened
        /// Through the page cache.
        case buffered
        /// Bypassing it where address, position and length are multiples of what the device requires; the unaligned head and
        /// tail of a transfer go through the cache.
        case direct
    }

    /// An open descriptor with the access that the transfers need. The engine duplicates it: the client may close its own at
    /// any time.
    public var descriptor: Int32
    /// Whether transfers bypass the page cache.
    public var cache: Cache
    /// Whether a transfer from a stream ends with the bytes that have arrived, as read(2) does, and reports the rest as
    /// residue; otherwise it ends when it is full or at the end of the stream.
    public var endsShort: Bool

    /// The file behind `descriptor`.
    @inlinable
    public init(_ descriptor: Int32, cache: Cache = .asOpened, endsShort: Bool = false) {
        self.descriptor = descriptor
        self.cache = cache
        self.endsShort = endsShort
    }
}

/// A command to a peripheral that uses none of the client's memory: the operations of storage and streams that are no
/// transfers.
///
/// Source: the kernel's `enum req_op`; NVM Express Base Specification, section "I/O commands"; fallocate(2), splice(2), tee(2).
@frozen
public enum PeripheralCommand: UInt8, Hashable, Sendable, CaseIterable {
    /// Writes all data and metadata so far to the medium: `REQ_OP_FLUSH`, fsync(2).
    case flush = 0
    /// Writes the data alone: fdatasync(2).
    case flushData = 1
    /// Allocates space for a range: fallocate(2).
    case allocate = 2
    /// Makes a range read as zeroes: `REQ_OP_WRITE_ZEROES`.
    case zero = 3
    /// Drops a range's contents, for instance by punching a hole: `REQ_OP_DISCARD`.
    case discard = 4
    /// Moves bytes from one peripheral to another: `DMA_DEV_TO_DEV`, splice(2).
    case move = 5
    /// Copies bytes to another peripheral and leaves them in the first: tee(2).
    case duplicate = 6
}

/// A set of commands.
@frozen
public struct PeripheralCommandSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The set with one command.
    @inlinable public init(_ command: PeripheralCommand) { rawValue = 1 << UInt32(command.rawValue) }
    /// The set with these commands.
    public init(_ commands: [PeripheralCommand]) { rawValue = commands.reduce(0) { $0 | 1 << UInt32($1.rawValue) } }
    /// The commands in the set, in the order of their raw values.
    public var commands: [PeripheralCommand] {
        PeripheralCommand.allCases.filter { contains(PeripheralCommandSet($0)) }
    }
}
