// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAEngineKit
internal import DMAThreads
internal import DMATypes

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A child process, its last words, and its end.
///
/// One thread starts it, reads what it writes, and waits for its end: so that no child is left unwaited for, and so that the kernel kills the child
/// when this process ends, however it does: that is tied to the thread that started it (prctl(2), PR_SET_PDEATHSIG).
final class QEMUProcess: Sendable {
    private struct State {
        var child: Int32 = 0
        var failure: Int32 = 0
        var output: [UInt8] = []
        /// As `cdma_child_take` gives it; nil while it runs.
        var status: Int32?
    }

    private static let mostOutput = 4096
    private let state: SharedState
    private let started: InterruptLine
    private let over: InterruptLine
    private let generation = cdma_fork_generation()

    /// What the thread shares with this object, which it does not hold.
    private final class SharedState: Sendable {
        let locked = Locked(State())
    }

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - path: of the program.
    ///   - arguments: those after its name.
    ///   - kept: descriptors that it inherits.
    /// - Throws: `noResources`; `missing` for a path that leads nowhere; `notStarted`.
    init(_ path: String, _ arguments: [String], keeping kept: [Int32] = []) throws(QTestError) {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the C function writes two words.
        let piped = unsafe cdma_pipe(&ends)
        guard piped == 0 else { throw QTestError(.noResources, "no pipe for \(path): \(DMAError.sentence(-piped))") }
        let (input, output) = (ends[0], ends[1])
        let (state, started, over) = (SharedState(), InterruptLine(), InterruptLine())
        (self.state, self.started, self.over) = (state, started, over)
        let environment = Self.environment
        do throws(DMAError) {
            // The thread goes on by itself: it ends with the child.
            _ = try NativeThread {
                let child = Self.start([path] + arguments, environment, output, kept)
                _ = cdma_close(output)
                state.locked.withLock { if child > 0 { $0.child = child } else { $0.failure = -child } }
                started.raise()
                if child > 0 { Self.watch(child, input, state) }
                _ = cdma_close(input)
                over.raise()
            }
        } catch {
            _ = cdma_close(input)
            _ = cdma_close(output)
            throw QTestError(.noResources, "no thread for \(path): \(error.kernelText ?? "")")
        }
        // Ends: the child either becomes its program or reports why not.
        _ = started.wait(after: 0, until: .never)
        let failure = state.locked.withLock { $0.failure }
        guard failure == 0 else {
            throw QTestError(
                failure == ENOENT ? .missing : .notStarted, "cannot start \(path): \(DMAError.sentence(failure))")
        }
    }

    deinit { stop(within: 0) }

    // MARK: The thread

    private static func start(_ words: [String], _ environment: [String], _ output: Int32, _ kept: [Int32]) -> Int32 {
        // SAFETY: each list ends with nil, and its strings are freed when the child has become its program, or has not.
        var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            for index in unsafe arguments.indices { unsafe free(arguments[index]) }
            for index in unsafe variables.indices { unsafe free(variables[index]) }
        }
        return unsafe cdma_child_start(words[0], &arguments, &variables, output, kept, Int32(kept.count))
    }

    private static func watch(_ child: Int32, _ input: Int32, _ state: SharedState) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        // Ends with the last process that has the other end: the child, or one of its own.
        while true {
            // SAFETY: the C function writes at most as many bytes as the array has.
            let count = unsafe cdma_pipe_read(input, &buffer, buffer.count)
            guard count > 0 else { break }
            state.locked.withLock { state in
                state.output += buffer.prefix(Int(count))
                if state.output.count > mostOutput { state.output.removeFirst(state.output.count - mostOutput) }
            }
        }
        // Taken under the lock, so that a signal never goes to a number that is another's by then.
        _ = cdma_child_await(child)
        state.locked.withLock { $0.status = cdma_child_take(child) }
    }

    /// What a child is told of this process's environment: what programs need to be found and to be configured, and no more.
    private static let environment: [String] = {
        let names = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR", "ALSA_CONFIG_PATH"]
        // SAFETY: getenv(3) answers nil or a text that ends with a zero; it is copied at once.
        let found = names.compactMap { name in unsafe getenv(name).map { unsafe "\(name)=" + String(cString: $0) } }
        // Before version 8.2 QEMU opens a sound device unless it is told not to by this.
        return found + ["QEMU_AUDIO_DRV=none"]
    }()

    // MARK: Its end

    /// Whether it has ended, and this process has taken note of it.
    var hasEnded: Bool { state.locked.withLock { $0.status != nil } }

    /// What it wrote last.
    var lastWords: String { QTestError.shown(state.locked.withLock { $0.output }) }

    /// What it wrote last, as it was.
    var output: [UInt8] { state.locked.withLock { $0.output } }

    /// The number of the process; nil where it has ended.
    var identifier: Int32? { state.locked.withLock { $0.status == nil ? $0.child : nil } }

    /// How it ended, in words; nil while it runs.
    var ending: String? {
        state.locked.withLock { state in
            guard let status = state.status else { return nil }
            return status < 0
                ? "its end is unknown: \(DMAError.sentence(-status))"
                : status >= 256 ? "it was ended by signal \(status - 256)" : "it ended with status \(status)"
        }
    }

    /// Waits for its end: whether it has ended.
    func wait(until deadline: Deadline) -> Bool { over.wait(after: 0, until: deadline) }

    /// Asks it to end, and kills it where it has not within so many milliseconds. It has ended when this returns.
    func stop(within milliseconds: Int64) {
        // In a child of fork(2) it is the parent's.
        guard cdma_fork_generation() == generation else { return }
        func signal(_ number: Int32) {
            state.locked.withLock { state in
                if state.status == nil, state.child > 0 { _ = cdma_child_signal(state.child, number) }
            }
        }
        if milliseconds > 0 {
            signal(SIGTERM)
            if wait(until: .after(milliseconds: milliseconds)) { return }
        }
        signal(SIGKILL)
        // A killed process ends, unless the kernel holds it in a call that does not: then it is not waited for any longer.
        _ = wait(until: .after(milliseconds: 10_000))
    }
}
