// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A point of the monotonic clock, in nanoseconds: by when something is to have happened.
@frozen
public struct Deadline: Hashable, Comparable, Sendable {
    /// CLOCK_MONOTONIC, nanoseconds.
    public let nanoseconds: Int64
    /// The point `nanoseconds` of CLOCK_MONOTONIC.
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The present moment.
    public static var now: Deadline { Deadline(nanoseconds: cdma_monotonic_nanoseconds()) }
    /// Never: later than every moment.
    @inlinable public static var never: Deadline { Deadline(nanoseconds: .max) }

    /// `nanoseconds` from now; negative numbers are in the past, sums that leave the range are ``never``.
    public static func after(nanoseconds: Int64) -> Deadline {
        let (sum, overflow) = cdma_monotonic_nanoseconds().addingReportingOverflow(nanoseconds)
        return overflow ? .never : Deadline(nanoseconds: sum)
    }
    /// `milliseconds` from now.
    public static func after(milliseconds: Int64) -> Deadline {
        let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .never : after(nanoseconds: product)
    }
    @inlinable public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// What an engine says of a transaction. Untrusted: the channel checks every field.
@frozen
public struct Completion: Equatable, Sendable {
    /// The tag that `enqueue` was given.
    public var tag: UInt32
    /// A ``TransactionStatus`` raw value; others count as an engine failure.
    public var status: UInt8
    /// Whether this is one period of a cyclic transaction that goes on, not its end.
    public var isPeriod: Bool
    /// Bytes not moved.
    public var residue: UInt64
    /// The CRC, the validation bits, or the number of periods since the start, as the operation says.
    public var value: UInt64

    /// What an engine says of the transaction that it was given under `tag`.
    @inlinable
    public init(
        tag: UInt32, status: TransactionStatus = .complete, isPeriod: Bool = false, residue: UInt64 = 0, value: UInt64 = 0
    ) {
        self.tag = tag
        self.status = status.rawValue
        self.isPeriod = isPeriod
        self.residue = residue
        self.value = value
    }
}

/// Something that moves bytes: CPU threads, a queue pair, a copy engine.
///
/// An engine handles words. It sees bus addresses, lengths and tags; it owns no client memory, keeps no cookie and calls nobody back.
/// The ``Channel`` above it does that, once for all engines, and does not believe what the engine says.
///
/// One thread at a time uses an engine: it is a noncopyable value, and the channel that holds it is the only way to it.
/// No function traps or blocks without a bound; none but ``wait(until:)`` and ``quiesce(by:)`` may sleep.
public protocol Engine: ~Copyable {
    /// What this engine can do. Constant for the engine's life, but for what ``configure(_:)`` changes.
    var capabilities: Capabilities { get }

    /// Writes a descriptor behind those already queued; starts nothing (rule 5). False where there is no room.
    ///
    /// A channel has at most `depth` transactions in flight, rounded up to a power of two: a ring of that size need not count.
    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> Bool

    /// Judges a command by what the engine alone knows of its peripherals. The channel asks before it enqueues one, and for no other
    /// operation.
    ///
    /// - Throws: `noSuchPeripheral`; `needsPipe`.
    mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError)

    /// Starts what is queued: the doorbell (rule 7).
    mutating func issuePending()

    /// The next completion the engine has to report, or nil. May do the work itself, for engines whose hands are the caller's.
    mutating func next() -> Completion?

    /// Begins to drop everything queued and running; does not wait (rule 17).
    mutating func terminate()

    /// Waits until the engine touches no memory of what was terminated. False where it has not stopped by `deadline`; then the
    /// channel quarantines. After true, transactions not reported complete will never be.
    mutating func quiesce(by deadline: Deadline) -> Bool

    /// Stops without losing data (rule 19). False where it cannot just now.
    mutating func pause() -> Bool
    /// Goes on after ``pause()``.
    mutating func resume() -> Bool

    /// Bytes not yet moved of transaction `tag`, in the granularity that the capabilities state; nil where the engine cannot say.
    /// For a cyclic transaction: of the current pass over the ring (rule 21).
    mutating func residue(of tag: UInt32) -> UInt64?

    /// Sets the peripheral, widths, bursts, priority or mode for later transactions (rule 2).
    mutating func configure(_ configuration: EngineConfiguration) throws(DMAError)

    /// Gives the engine one more peripheral, and says by which number transactions name it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32

    /// Lets go of a peripheral that was attached; its number may be given again.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    mutating func detach(_ number: UInt32) throws(DMAError)

    /// Sleeps until a transaction that asked for an interrupt completes, or `deadline`. True where there may be something to take.
    mutating func wait(until deadline: Deadline) -> Bool

    /// Where this engine's interrupts arrive, or nil on one that has none.
    var interruptLine: InterruptLine? { get }

    /// What the engine has done and what it fell back to, counted since it was made: for reports that say what ran.
    var figures: [EngineFigure] { get }
}

/// One thing that an engine counts.
public struct EngineFigure: Hashable, Sendable, Codable {
    /// What is counted, as a stable identifier: "directBytes".
    public let name: String
    /// How many, or how many bytes, as the name says.
    public let value: UInt64

    /// So many of `name`.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }
}

extension Engine where Self: ~Copyable {
    // What an engine without the feature answers; its capabilities say so too.
    @inlinable public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) {}
    @inlinable public mutating func pause() -> Bool { false }
    @inlinable public mutating func resume() -> Bool { false }
    @inlinable public mutating func residue(of tag: UInt32) -> UInt64? { nil }
    @inlinable public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        throw DMAError(.notPeripheral)
    }
    @inlinable public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 {
        throw DMAError(.notPeripheral)
    }
    @inlinable public mutating func detach(_ number: UInt32) throws(DMAError) { throw DMAError(.notPeripheral) }
    @inlinable public mutating func wait(until deadline: Deadline) -> Bool { true }
    @inlinable public var interruptLine: InterruptLine? { nil }
    @inlinable public var figures: [EngineFigure] { [] }
}

/// What may be changed on a channel at run time: the kernel's `struct dma_slave_config`, and what it lacks.
public struct EngineConfiguration: Equatable, Sendable {
    /// Which peripheral, by the engine's own number: the request line.
    public var peripheral: UInt32
    /// Bytes moved at once on the peripheral's side: 1, 2, 4, 8 … 64; 0 leaves it to the engine.
    public var width: UInt32
    /// Items of `width` moved each time the peripheral asks; 0 leaves it to the engine.
    public var burst: UInt32
    /// 0 is the lowest; fewer than the capabilities' `priorities`.
    public var priority: UInt32

    /// Everything left to the engine.
    public init(peripheral: UInt32 = 0, width: UInt32 = 0, burst: UInt32 = 0, priority: UInt32 = 0) {
        self.peripheral = peripheral
        self.width = width
        self.burst = burst
        self.priority = priority
    }
}
