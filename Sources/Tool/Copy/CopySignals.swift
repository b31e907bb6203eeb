// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore
import Glibc

/// Handles signals during a copy, and shows its progress.
///
/// Signals that end a program cancel the copy; SIGUSR1 prints its progress.
final class CopySignals: Sendable {
    private struct State {
        var control: CopyControl?
        var name = ""
        var isOver = false
        var line = ProgressLine()
    }

    private let state = Locked(State())
    private let signals = Signals(others: [SIGUSR1])
    let isTerminal = isatty(STDERR_FILENO) == 1

    init() {
        // A write to a closed pipe, or beyond a limit, must fail, not end the process.
        _ = signal(SIGPIPE, SIG_IGN)
        _ = signal(SIGXFSZ, SIG_IGN)
    }

    /// 128 plus the number of the signal that ended the copy, as shells report it.
    var exitCode: Int32? { signals.exitCode }

    /// From now on signals cancel this copy.
    func watch(_ control: CopyControl, name: String) {
        let isFirst = state.withLock { state in
            let isFirst = state.control == nil
            state.control = control
            state.name = name
            // The signal thread cancels the control that it finds: this one, or the one before.
            if signals.caught != nil { control.cancel() }
            return isFirst
        }
        guard isFirst else { return }
        signals.watch { [self] event in
            switch event {
            case .stop: state.withLock { $0.control?.cancel() }
            case .other: show(asLine: true)
            case .nothing: if isTerminal { show(asLine: false) }
            }
        }
    }

    /// The copy has ended: no progress is shown any more.
    func end() {
        state.withLock { state in
            guard !state.isOver else { return }
            state.isOver = true
            if isTerminal { state.line.clear() }
        }
        signals.end()
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

    /// Ends the process by SIGPIPE, as cat ends when its reader has closed the pipe.
    static func dieOfBrokenPipe() -> Never { Signals.die(SIGPIPE) }
}
