// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// A channel that passes completions to closures: the kernel's callbacks, as a layer over polling.
///
/// Callbacks run inside ``runCallbacks()`` and nowhere else, which is the deferred context (rule 11). No lock is held and no
/// call into the engine is in progress, so that a callback may submit more work (rule 12), terminate without waiting (rule 17),
/// and do whatever else a client may.
///
/// One thread at a time uses it, as with ``Channel``. Each submission allocates its closure; a client that needs an
/// allocation-free path polls the channel instead.
public struct CallbackChannel<E: Engine & ~Copyable, C: Cargo & ~Copyable>: ~Copyable {
    /// The function that is called when a transaction has ended. It owns the cargo from then on.
    public typealias Callback = (_ finished: consuming Finished<C>, _ channel: inout CallbackChannel<E, C>) -> Void

    private var channel: Channel<E, C>
    private var callbacks: [UInt64: Callback] = [:]
    private var isRunningCallbacks = false

    /// Adds callbacks to a channel.
    public init(_ channel: consuming Channel<E, C>) { self.channel = channel }

    /// Queues one operation; `callback` is called once, when it has completed, failed or been aborted.
    public mutating func submit(
        _ operation: Operation, _ cargo: consuming C, deadline: Deadline = .never, callback: @escaping Callback
    ) -> Submission<C> {
        switch channel.submit(Transaction(operation, cargo, deadline: deadline)) {
        case .queued(let cookie):
            callbacks[cookie.rawValue] = callback
            return .queued(cookie)
        case .refused(let error, let cargo):
            return .refused(error, cargo)
        }
    }

    /// Starts what is queued (rule 7). Queued transactions start without waiting for the callbacks of earlier ones (rule 15).
    public mutating func issuePending() { channel.issuePending() }

    /// Takes finished transactions and calls the callback of each. Returns the number of calls.
    ///
    /// Called from inside a callback it does nothing: the running call handles the rest. One call handles at most twice the
    /// number in flight at its start, so that callbacks which keep submitting do not hold it for ever.
    @discardableResult
    public mutating func runCallbacks() -> Int {
        guard !isRunningCallbacks else { return 0 }
        isRunningCallbacks = true
        defer { isRunningCallbacks = false }
        let limit = 2 * channel.capabilities.depth
        var called = 0
        while called < limit, let finished = channel.next() {
            called += 1
            guard let callback = callbacks.removeValue(forKey: finished.cookie.rawValue) else { continue }
            callback(finished, &self)
        }
        return called
    }

    /// Sleeps until an interrupt or `deadline`, then runs the callbacks. Returns the number of calls.
    ///
    /// - Throws: `calledFromCallback`; `deviceGone`.
    @discardableResult
    public mutating func runCallbacks(until deadline: Deadline) throws(DMAError) -> Int {
        guard !isRunningCallbacks else { throw DMAError(.calledFromCallback) }
        let called = runCallbacks()
        if called > 0 { return called }
        _ = try channel.wait(until: deadline)
        return runCallbacks()
    }

    /// Drops queued and running work without waiting; allowed inside a callback (rule 17).
    public mutating func terminateAsync() { channel.terminateAsync() }

    /// Waits until the device has stopped, then calls the callbacks of aborted transactions (rule 16).
    ///
    /// - Throws: `calledFromCallback` inside a callback, where waiting would be a deadlock (rule 17); `quiesceTimeout`.
    public mutating func synchronize(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        guard !isRunningCallbacks else { throw DMAError(.calledFromCallback) }
        try channel.synchronize(by: deadline)
        runCallbacks()
    }

    /// ``terminateAsync()`` and ``synchronize(by:)``.
    ///
    /// - Throws: `calledFromCallback`, before anything is done; `quiesceTimeout`.
    public mutating func terminateSync(by deadline: Deadline = .after(milliseconds: 1000)) throws(DMAError) {
        guard !isRunningCallbacks else { throw DMAError(.calledFromCallback) }
        channel.terminateAsync()
        try synchronize(by: deadline)
    }

    /// Gives access to the underlying channel, for everything that callbacks do not change. A completion taken from it directly
    /// calls no callback.
    public mutating func withChannel<R: ~Copyable, Failure: Error>(
        _ body: (inout Channel<E, C>) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(&channel)
    }
}
