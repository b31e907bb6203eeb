// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import Glibc
import Synchronization

/// Waits for signals on a thread of its own, and draws progress while it waits.
///
/// SIGINT, SIGTERM and SIGHUP ask the copy to stop; a second one ends the process at once. SIGUSR1 asks how far it is.
final class CopySignals: Sendable {
    private struct State {
        var control: CopyControl?
        var name = ""
        var caught: Int32?
        var isOver = false
        var line = ProgressLine()
    }

    private let state = Mutex(State())
    let isTerminal = isatty(STDERR_FILENO) == 1

    init() {
        // A write to a closed pipe, or beyond a limit, is to fail and not to kill.
        _ = signal(SIGPIPE, SIG_IGN)
        _ = signal(SIGXFSZ, SIG_IGN)
        var set = Self.set
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var set: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] { unsafe sigaddset(&set, number) }
        return set
    }

    /// 128 and the signal that ended the copy, as shells count.
    var exitCode: Int32? { state.withLock { $0.caught.map { 128 + $0 } } }

    /// From now on signals stop this copy.
    func watch(_ control: CopyControl, name: String) {
        let isFirst = state.withLock { state in
            let isFirst = state.control == nil
            state.control = control
            state.name = name
            if state.caught != nil { control.cancel() }
            return isFirst
        }
        guard isFirst else { return }
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(self).toOpaque()
        unsafe _ = pthread_create(
            &thread, nil,
            { argument in
                // The reference was retained for this thread.
                if let argument = unsafe argument { unsafe Unmanaged<CopySignals>.fromOpaque(argument).takeRetainedValue().wait() }
                return nil
            }, argument)
        pthread_detach(thread)
    }

    /// The copy is over: nothing is drawn any more.
    func end() {
        state.withLock { state in
            guard !state.isOver else { return }
            state.isOver = true
            if isTerminal { state.line.clear() }
        }
    }

    private func wait() {
        var set = Self.set
        while state.withLock({ !$0.isOver }) {
            var pause = timespec(tv_sec: 0, tv_nsec: 200_000_000)
            let number = unsafe sigtimedwait(&set, nil, &pause)
            if number == SIGUSR1 {
                show(asLine: true)
            } else if number > 0 {
                if !stop(number) { Self.die(number) }
            } else if isTerminal {
                show(asLine: false)
            }
        }
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
                StandardError.write(state.line.text(progress, name: state.name, width: 400) + "\n")
            } else {
                state.line.draw(progress, name: state.name)
            }
        }
    }

    private static func die(_ number: Int32) -> Never {
        _ = signal(number, SIG_DFL)
        var set = set
        unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
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

enum StandardError {
    static func write(_ text: String) {
        // What cannot be said on standard error can be said nowhere.
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
