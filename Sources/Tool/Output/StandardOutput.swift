// SPDX-License-Identifier: Apache-2.0

// The C library's stream is a global variable, which Swift cannot know to be constant and locked; the C standard says so.
@unsafe @preconcurrency import Glibc

enum StandardOutput {
    /// Writes what was printed and lies in a buffer yet. False where any of all that was printed is lost: a full disk shows only here.
    // SAFETY: the C library's own stream, which is never closed.
    static func flush() -> Bool { unsafe fflush(stdout) == 0 && ferror(stdout) == 0 }
}
