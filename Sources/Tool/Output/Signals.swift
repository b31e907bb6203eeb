// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAThreads
import Glibc

/// Where the handler writes. Set once, before there is a handler; a constant at first, so that reading it runs no initializer.
// SAFETY: written once, before the handler that reads it is installed; a number, which is read and written whole.
private nonisolated(unsafe) var signalPipe: Int32 = -1

/// Waits for signals on a thread of its own, while work is under way that a signal is to stop and not to destroy.
///
/// The first of SIGINT, SIGTERM and SIGHUP is passed to the watchers; a second one ends the process at once. Before the work and after it
/// signals do what they always do: nothing is to be put away then, and reading a list or printing may take for ever. One of a process.
final class Signals: Sendable {
    /// What the watcher hears, on the thread that waits.
    enum Event {
        /// The first signal that asks for an end.
        case stop(Int32)
        /// One that asks for something else.
        case other(Int32)
        /// Nothing came for a fifth of a second.
        case nothing
    }

    private struct State {
        var caught: Int32?
        var isOver = false
        /// What each signal did before it was heard here.
        var before: [(number: Int32, action: __sighandler_t?)] = []
    }

    private let state = Locked(State())
    private let heard: [Int32]
    /// Where the handler's bytes arrive: a signal may come to any thread.
    private let arrivals: Int32

    /// - Parameter others: signals to be heard beside those that ask for an end.
    init(others: [Int32] = []) {
        heard = Self.stopping + others
        // A parent that blocks these signals in the thread that starts this program passes the mask on.
        var mask = sigset_t()
        // SAFETY: the C functions fill `mask` and `ends`, which are as large as they write; the pipe's number is set before the handler is
        // installed that reads it.
        unsafe sigemptyset(&mask)
        for number in heard { unsafe sigaddset(&mask, number) }
        unsafe pthread_sigmask(SIG_UNBLOCK, &mask, nil)
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else {
            arrivals = -1
            return
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        arrivals = ends[0]
        unsafe signalPipe = ends[1]
    }

    private static let stopping = [SIGINT, SIGTERM, SIGHUP]

    /// The signal that asked for an end.
    var caught: Int32? { state.withLock { $0.caught } }

    /// 128 and that signal, as shells count.
    var exitCode: Int32? { caught.map { 128 + $0 } }

    /// Its name.
    static func name(_ number: Int32) -> String {
        [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP"][number] ?? "signal \(number)"
    }

    // MARK: The work

    /// From now on, until ``end()``, signals are told to `watcher`. Once.
    func watch(_ watcher: @escaping @Sendable (Event) -> Void) {
        guard arrivals >= 0 else { return }
        state.withLock { $0.before = hear() }
        do throws(DMAError) {
            // It ends by itself, after `end`.
            _ = try NativeThread { [self] in wait(watcher) }
        } catch {
            // Without a watcher each has its default effect.
            state.withLock { Self.forget(&$0) }
        }
    }

    /// Does work that the first signal stops early, which the status line then says. Once.
    func stopping<Result>(_ status: StatusLine, _ work: (StopRequest) async throws -> Result) async throws -> Result {
        let stop = StopRequest()
        let ends = Locked<Int64?>(nil)
        watch { event in
            switch event {
            case .stop(let number):
                status.keep("stopping by \(Self.name(number)); a second one ends at once")
                // Who sends SIGTERM sends SIGKILL next: what was measured is printed if that takes no longer than this.
                if number == SIGTERM { ends.withLock { $0 = Deadline.after(milliseconds: 600).nanoseconds } }
                stop.stop()
            case .nothing:
                guard let end = ends.withLock({ $0 }), Deadline.now.nanoseconds >= end else { return }
                Terminal.note(
                    "dmactl: ended by SIGTERM in the middle of a step, which did not end in time: nothing is printed\n")
                Self.die(SIGTERM)
            case .other: return
            }
        }
        defer {
            end()
            status.clear()
        }
        return try await work(stop)
    }

    /// Says on standard error, where the work was stopped, by which signal, and after what.
    func say(after made: String) {
        if let caught { Terminal.note("dmactl: stopped by \(Self.name(caught)) after \(made)\n") }
    }

    /// The work is over.
    func end() {
        let second = state.withLock { state -> Int32? in
            guard !state.isOver else { return nil }
            state.isOver = true
            Self.forget(&state)
            // What came at the last moment counts as what comes now.
            while let number = arrival() {
                guard Self.stopping.contains(number) else { continue }
                if state.caught != nil { return number }
                state.caught = number
            }
            return nil
        }
        if let second { Self.die(second) }
    }

    // MARK: Signals

    /// Installs the handler. What each signal did before.
    private func hear() -> [(number: Int32, action: __sighandler_t?)] {
        heard.filter { !Self.isIgnored($0) || $0 != SIGHUP }.map { number in
            // write(2) is all that the handler does: it is allowed there (signal-safety(7)).
            let action = signal(number) { number in
                var byte = UInt8(truncatingIfNeeded: number)
                // SAFETY: a handler may call write(2), which reads the one byte that is there.
                unsafe _ = Glibc.write(signalPipe, &byte, 1)
            }
            return (number, action)
        }
    }

    /// As nohup(1) has it, which means it.
    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        // SAFETY: the C function fills `action`. The handler is a union of pointers, of which only the number is looked at.
        guard unsafe sigaction(number, nil, &action) == 0 else { return false }
        // SIG_IGN is no pointer, but the number 1.
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    private static func forget(_ state: inout State) {
        for (number, action) in state.before { _ = signal(number, action) }
        state.before = []
    }

    private func wait(_ watcher: (Event) -> Void) {
        while let event = next() { watcher(event) }
    }

    /// What happens next; nil after the end. The second signal does not come back from here.
    private func next() -> Event? {
        var waiting = pollfd(fd: arrivals, events: Int16(POLLIN), revents: 0)
        // SAFETY: the call is told of the one structure that there is.
        _ = unsafe poll(&waiting, 1, 200)
        // In one piece, so that `end` finds each signal either told or still in the pipe.
        let (event, second) = state.withLock { state -> (Event?, Int32?) in
            guard !state.isOver else { return (nil, nil) }
            guard let number = arrival() else { return (.nothing, nil) }
            guard Self.stopping.contains(number) else { return (.other(number), nil) }
            if state.caught != nil { return (nil, number) }
            state.caught = number
            return (.stop(number), nil)
        }
        if let second {
            // What was shown last is left as it is, above whatever comes behind the program.
            if isatty(STDERR_FILENO) == 1 { Terminal.note("\n") }
            Self.die(second)
        }
        return event
    }

    /// A signal that has come; nil where none has.
    private func arrival() -> Int32? {
        var byte: UInt8 = 0
        // SAFETY: the call writes the one byte that there is.
        return unsafe read(arrivals, &byte, 1) == 1 ? Int32(byte) : nil
    }

    /// Ends the process by a signal.
    static func die(_ number: Int32) -> Never {
        _ = signal(number, SIG_DFL)
        // The thread that waits takes no signals.
        var mask = sigset_t()
        // SAFETY: the C functions fill `mask`, which is as large as they write.
        unsafe sigemptyset(&mask)
        unsafe sigaddset(&mask, number)
        unsafe pthread_sigmask(SIG_UNBLOCK, &mask, nil)
        _ = raise(number)
        _exit(128 + number)
    }
}
