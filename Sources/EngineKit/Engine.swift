// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Moves bytes on behalf of a channel: a pool of CPU threads, a queue pair, a copy engine.
///
/// An engine handles plain words. It sees bus addresses, lengths and tags; it owns no client memory, keeps no cookies and calls
/// no client code. The channel does these once for all engines, and checks every report.
///
/// One thread at a time uses an engine: it is a noncopyable value that only its channel calls. No function traps or blocks
/// without a bound; only ``wait(until:)`` and ``quiesce(by:)`` may sleep.
public protocol Engine: ~Copyable {
    /// Settings of this engine beyond ``EngineConfiguration``; ``NoSettings`` where there are none.
    associatedtype Settings: Sendable = NoSettings

    /// The order of completion reports. Channels are specialized for it; ``CompletionOrder/dynamic`` costs a few more
    /// instructions.
    static var order: CompletionOrder { get }

    /// What this engine can do. Constant for the engine's lifetime, except for what ``configure(_:)`` and ``apply(_:)`` change.
    var capabilities: Capabilities { get }

    /// The address space of its descriptors. Constant. A channel refuses a domain with another one.
    var addressing: EngineAddressing { get }

    /// Queues a descriptor behind earlier ones without starting it (rule 5).
    ///
    /// A channel has at most `depth` transactions in flight, rounded up to a power of two; a ring of that size cannot overflow.
    ///
    /// Unsafe: the engine accesses the descriptor's addresses from ``issuePending()`` until it has reported the completion or
    /// has quiesced. The caller guarantees that they stay valid for that long.
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult

    /// Checks a command against the engine's knowledge of its peripherals. The channel calls it before it enqueues a command,
    /// and for no other operation.
    ///
    /// - Throws: `noSuchPeripheral`; `needsPipe`.
    mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError)

    /// Starts the queued descriptors: the doorbell (rule 7).
    mutating func issuePending()

    /// The next completion, or nil. Engines that work on the polling thread may do the work in this call.
    mutating func next() -> Completion?

    /// Starts to drop everything queued and running, without waiting (rule 17).
    mutating func terminate()

    /// Waits until the engine no longer accesses memory of terminated transactions. Returns false where it has not stopped by
    /// `deadline`; the channel then quarantines that memory. After true, transactions not reported complete never will be, and
    /// a pause has ended: descriptors queued later run without ``resume()``.
    mutating func quiesce(by deadline: Deadline) -> Bool

    /// Called once, before the channel moves this engine to the quarantine because ``quiesce(by:)`` failed. The engine and its
    /// ring memory then stay allocated, and its `deinit` does not run, until the device is known to have stopped.
    mutating func willBeParked()

    /// Whether the device was removed or no longer responds. Once true it stays true. The channel then ends every wait with
    /// `deviceGone`.
    var isGone: Bool { get }

    /// Stops without losing data (rule 19). Returns false where that is not possible at present.
    mutating func pause() -> Bool
    /// Continues after ``pause()``.
    mutating func resume() -> Bool

    /// Bytes of transaction `tag` not yet moved, in the granularity that the capabilities state; nil where the engine does not
    /// know. For a cyclic transaction: of the current pass over the ring (rule 21).
    ///
    /// The channel also calls it for transactions that it ends as aborted: after ``quiesce(by:)`` has returned true and
    /// ``next()`` has reported every completion, and before it queues anything else. An engine that knows the residue keeps it
    /// until then.
    mutating func residue(of tag: UInt32) -> UInt64?

    /// Sets the peripheral, widths, bursts, priority or mode for later transactions (rule 2).
    mutating func configure(_ configuration: EngineConfiguration) throws(DMAError)

    /// Applies the engine's own settings to later transactions.
    mutating func apply(_ settings: Settings) throws(DMAError)

    /// Attaches a peripheral, and returns the number by which transactions name it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32

    /// Detaches a peripheral; its number may be reused.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    mutating func detach(_ number: UInt32) throws(DMAError)

    /// Sleeps until a transaction with the interrupt flag completes, or `deadline`. Returns true where a completion may be
    /// available.
    mutating func wait(until deadline: Deadline) -> Bool

    /// The line that this engine raises its interrupts on; nil for an engine without interrupts.
    var interruptLine: InterruptLine? { get }

    /// Counters of the engine's work and of the fallbacks that it used, since it was made: for reports.
    var figures: [EngineFigure] { get }
}

/// The settings type of an engine without settings.
@frozen
public struct NoSettings: Hashable, Sendable {
    /// Nothing to set.
    @inlinable public init() {}
}

extension Engine where Self: ~Copyable {
    // Defaults for engines without the feature; their capabilities say so too.
    @inlinable public static var order: CompletionOrder { .dynamic }
    @inlinable public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) {}
    @inlinable public mutating func willBeParked() {}
    @inlinable public var isGone: Bool { false }
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

extension Engine where Self: ~Copyable, Settings == NoSettings {
    /// Does nothing: there are no settings.
    @inlinable public mutating func apply(_ settings: NoSettings) throws(DMAError) {}
}
