// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Something that moves bytes: CPU threads, a queue pair, a copy engine.
///
/// An engine handles words. It sees bus addresses, lengths and tags; it owns no client memory, keeps no cookie and calls no client.
/// The channel above it does that, once for all engines, and checks what the engine reports.
///
/// One thread at a time uses an engine: it is a noncopyable value, and only the channel that owns it calls it.
/// No function traps or blocks without a bound; only ``wait(until:)`` and ``quiesce(by:)`` may sleep.
public protocol Engine: ~Copyable {
    /// What can be set on this engine beyond ``EngineConfiguration``; ``NoSettings`` where there is nothing.
    associatedtype Settings: Sendable = NoSettings

    /// In which order completions are reported. A channel is compiled for it; ``CompletionOrder/dynamic`` costs a few instructions more.
    static var order: CompletionOrder { get }

    /// What this engine can do. Constant for the engine's life, except for what ``configure(_:)`` and ``apply(_:)`` change.
    var capabilities: Capabilities { get }

    /// Which addresses its descriptors hold. Constant. A channel refuses a domain whose addresses are others.
    var addressing: EngineAddressing { get }

    /// Queues a descriptor behind those before it; starts nothing (rule 5).
    ///
    /// A channel has at most `depth` transactions in flight, rounded up to a power of two: a ring of that size need not count.
    ///
    /// Unsafe: the engine accesses the descriptor's addresses from ``issuePending()`` until it has reported the completion or has quiesced.
    /// The caller vouches that they stay valid for that long.
    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult

    /// Checks a command against what only the engine knows of its peripherals. The channel calls it before it enqueues a command, and for no
    /// other operation.
    ///
    /// - Throws: `noSuchPeripheral`; `needsPipe`.
    mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError)

    /// Starts what is queued: the doorbell (rule 7).
    mutating func issuePending()

    /// The next completion, or nil. May do the work itself, in engines that work on the polling thread.
    mutating func next() -> Completion?

    /// Begins to drop everything queued and running; does not wait (rule 17).
    mutating func terminate()

    /// Waits until the engine accesses no memory of what was terminated. False where it has not stopped by `deadline`; then the
    /// channel quarantines. After true, transactions not reported complete will never be, and a pause is over: what is queued next runs
    /// without ``resume()``.
    mutating func quiesce(by deadline: Deadline) -> Bool

    /// Called once, before the channel parks this engine in the quarantine because ``quiesce(by:)`` failed. The engine and its ring memory
    /// then stay as they are, and its `deinit` does not run, until the device was proved stopped.
    mutating func willBeParked()

    /// Whether the device has been removed, or no longer answers. Once true it stays true. The channel then ends every waiter with
    /// `deviceGone`.
    var isGone: Bool { get }

    /// Stops without losing data (rule 19). False where it cannot at the moment.
    mutating func pause() -> Bool
    /// Continues after ``pause()``.
    mutating func resume() -> Bool

    /// Bytes not yet moved of transaction `tag`, in the granularity that the capabilities state; nil where the engine does not know.
    /// For a cyclic transaction: of the current pass over the ring (rule 21).
    ///
    /// The channel also asks for what it ends as aborted: after ``quiesce(by:)`` has returned true and ``next()`` has reported what was
    /// complete, before anything else is queued. An engine that knows keeps the answer until then.
    mutating func residue(of tag: UInt32) -> UInt64?

    /// Sets the peripheral, widths, bursts, priority or mode for later transactions (rule 2).
    mutating func configure(_ configuration: EngineConfiguration) throws(DMAError)

    /// Applies the engine's own settings to later transactions.
    mutating func apply(_ settings: Settings) throws(DMAError)

    /// Gives the engine one more peripheral, and returns the number by which transactions name it.
    ///
    /// - Throws: `notPeripheral` on an engine that takes none; `tooManyPeripherals`; `kernelRefused` for a file that cannot be used.
    mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32

    /// Releases a peripheral that was attached; its number may be given again.
    ///
    /// - Throws: `noSuchPeripheral`; `peripheralBusy` while a transaction names it.
    mutating func detach(_ number: UInt32) throws(DMAError)

    /// Sleeps until a transaction that asked for an interrupt completes, or `deadline`. True where there may be something to take.
    mutating func wait(until deadline: Deadline) -> Bool

    /// Where this engine's interrupts arrive, or nil on one that has none.
    var interruptLine: InterruptLine? { get }

    /// What the engine has done and which fallbacks it used, counted since it was made: for reports.
    var figures: [EngineFigure] { get }
}

/// The settings of an engine that has none.
@frozen
public struct NoSettings: Hashable, Sendable {
    /// Nothing to set.
    @inlinable public init() {}
}

extension Engine where Self: ~Copyable {
    // What an engine without the feature answers; its capabilities say so too.
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
    /// Applies nothing: there is nothing to set.
    @inlinable public mutating func apply(_ settings: NoSettings) throws(DMAError) {}
}
