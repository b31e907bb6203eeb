// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMAThreads
import Glibc
import Synchronization

/// Where the handler writes. Set once, before there is a handler; a constant at first, so that reading it runs no initializer.
private nonisolated(unsafe) var signalPipe: Int32 = -1

/// Waits for signals on a thread of its own, and draws progress while it waits.
///
/// SIGINT, SIGTERM and SIGHUP ask the copy to stop; a second one ends the process at once. SIGUSR1 asks how far it is. Before the copy and
/// after it signals do what they always do: nothing is to be put away then, and reading a list or printing may take for ever.
final class CopySignals: Sendable {
    private struct State {
        var control: CopyControl?
        var name = ""
        var caught: Int32?
        var isOver = false
        /// What each signal did before it was heard here.
        var before: [(number: Int32, action: __sighandler_t?)] = []
        var line = ProgressLine()
    }

    private let state = Mutex(State())
    /// Where the handler's bytes arrive: a signal may come to any thread.
    private let arrivals: Int32
    let isTerminal = isatty(STDERR_FILENO) == 1

    init() {
        // A write to a closed pipe, or beyond a limit, is to fail and not to kill.
        _ = signal(SIGPIPE, SIG_IGN)
        _ = signal(SIGXFSZ, SIG_IGN)
        // Whoever started this program from a thread that blocks them has handed that on.
        var mask = sigset_t()
        unsafe sigemptyset(&mask)
        for number in Self.heard { unsafe sigaddset(&mask, number) }
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

    private static let heard = [SIGINT, SIGTERM, SIGHUP, SIGUSR1]

    /// Installs the handler. What each signal did before.
    private static func hear() -> [(number: Int32, action: __sighandler_t?)] {
        heard.filter { !isIgnored($0) || $0 != SIGHUP }.map { number in
            // write(2) is all that the handler does: it is allowed there (signal-safety(7)).
            let action = signal(number) { number in
                var byte = UInt8(truncatingIfNeeded: number)
                unsafe _ = Glibc.write(signalPipe, &byte, 1)
            }
            return (number, action)
        }
    }

    /// As nohup(1) has it, which means it.
    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard unsafe sigaction(number, nil, &action) == 0 else { return false }
        // SIG_IGN is no pointer, but the number 1.
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    /// 128 and the signal that ended the copy, as shells count.
    var exitCode: Int32? { state.withLock { $0.caught.map { 128 + $0 } } }

    /// From now on signals stop this copy.
    func watch(_ control: CopyControl, name: String) {
        let isFirst = state.withLock { state in
            let isFirst = state.control == nil
            if isFirst, arrivals >= 0 { state.before = Self.hear() }
            state.control = control
            state.name = name
            if state.caught != nil { control.cancel() }
            return isFirst
        }
        guard isFirst, arrivals >= 0 else { return }
        do throws(DMAError) {
            // It ends by itself, after `end`.
            _ = try NativeThread { [self] in wait() }
        } catch {
            // Nobody would hear them: each then does what it does without us.
            state.withLock { Self.forget(&$0) }
        }
    }

    /// The copy is over: nothing is drawn any more.
    func end() {
        state.withLock { state in
            guard !state.isOver else { return }
            state.isOver = true
            if isTerminal { state.line.clear() }
            Self.forget(&state)
        }
    }

    private static func forget(_ state: inout State) {
        for (number, action) in state.before { _ = signal(number, action) }
        state.before = []
    }

    private func wait() {
        while state.withLock({ !$0.isOver }) {
            switch next(milliseconds: 200) {
            case SIGUSR1: show(asLine: true)
            case .some(let number): if !stop(number) { Self.die(number) }
            case nil: if isTerminal { show(asLine: false) }
            }
        }
    }

    /// The next signal, or nil after so long without one.
    private func next(milliseconds: Int32) -> Int32? {
        var waiting = pollfd(fd: arrivals, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&waiting, 1, milliseconds) > 0 else { return nil }
        var byte: UInt8 = 0
        return unsafe read(arrivals, &byte, 1) == 1 ? Int32(byte) : nil
    }

    /// False for the second signal, which does not wait.
    private func stop(_ number: Int32) -> Bool {
        state.withLock { state in
            guard state.caught == nil else { return false }
            state.caught = number
            state.control?.cancel()
            return true
        }
    }

    private func show(asLine: Bool) {
        state.withLock { state in
            guard !state.isOver, let control = state.control else { return }
            let progress = control.progress
            if asLine {
                if isTerminal { state.line.clear() }
                Terminal.note(state.line.text(progress, name: state.name, width: 400) + "\n")
            } else {
                state.line.draw(progress, name: state.name)
            }
        }
    }

    private static func die(_ number: Int32) -> Never {
        _ = signal(number, SIG_DFL)
        _ = raise(number)
        _exit(128 + number)
    }

    /// As cat and cp end when nobody reads what they write.
    static func dieOfBrokenPipe() -> Never {
        _ = signal(SIGPIPE, SIG_DFL)
        _ = raise(SIGPIPE)
        _exit(141)
    }
}
