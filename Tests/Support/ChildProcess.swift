// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A program in a process group of its own.
///
/// Not Foundation's Process, which leaks the memory of a weak reference now and then: the leak checks report it.
final class ChildProcess {
    let identifier: pid_t
    /// The status from waitpid(2); nil while the program runs.
    private var status: Int32?

    /// - Parameters:
    ///   - words: the program, by its path, and its arguments.
    ///   - environment: the complete environment.
    ///   - input: a file for standard input.
    ///   - output: a file for standard output, which is truncated first.
    ///   - errors: a file for standard error, likewise.
    init(_ words: [String], environment: [String: String], input: String, output: String, errors: String) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        var blocked = sigset_t()
        // SAFETY: the two values are initialized here and destroyed when this returns; the set is cleared before it is used.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            _ = unsafe posix_spawn_file_actions_destroy(&actions)
            _ = unsafe posix_spawnattr_destroy(&attributes)
        }
        _ = unsafe sigemptyset(&blocked)
        _ = unsafe posix_spawnattr_setsigmask(&attributes, &blocked)
        _ = unsafe posix_spawnattr_setpgroup(&attributes, 0)
        _ = unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        let writes = O_WRONLY | O_CREAT | O_TRUNC
        _ = unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        _ = unsafe posix_spawn_file_actions_addopen(&actions, 1, output, writes, 0o600)
        _ = unsafe posix_spawn_file_actions_addopen(&actions, 2, errors, writes, 0o600)
        // The program must not inherit this process's open descriptors.
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            if let file = Int32(name), file > 2 { _ = unsafe posix_spawn_file_actions_addclose(&actions, file) }
        }
        // SAFETY: each list ends with nil, and its strings are freed when the program was started.
        var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup("\($0)=\($1)") } + [nil]
        defer {
            for index in unsafe arguments.indices { unsafe free(arguments[index]) }
            for index in unsafe variables.indices { unsafe free(variables[index]) }
        }
        var identifier: pid_t = 0
        let failure = unsafe posix_spawn(&identifier, words[0], &actions, &attributes, &arguments, &variables)
        guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .ENOENT) }
        self.identifier = identifier
    }

    var isRunning: Bool {
        look(WNOHANG)
        return status == nil
    }

    /// Waits for the program's end. Its exit status and nil, or nil and the signal that ended it; neither where other code has
    /// waited for it.
    func wait() -> (status: Int32?, signal: Int32?) {
        look(0)
        guard let status else { return (nil, nil) }
        return status & 0x7f == 0 ? (status >> 8 & 0xff, nil) : (nil, status & 0x7f)
    }

    private func look(_ options: Int32) {
        while status == nil {
            var found: Int32 = 0
            // SAFETY: the call writes the one word.
            let answer = unsafe waitpid(identifier, &found, options)
            if answer == identifier { status = found } else if answer == 0 || errno != EINTR { return }
        }
    }
}
