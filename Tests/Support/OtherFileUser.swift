// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Makes the calling thread access files with an unprivileged user's permissions. setfsuid(2) also drops the capabilities that bypass them; it needs root.
///
/// Glibc's header of the call is in no Swift module, hence the look-up of the symbol.
public enum OtherFileUser {
    private typealias Call = @convention(c) (UInt32) -> Int32

    /// Whether the process can become another user for files.
    public static var isPossible: Bool { geteuid() == 0 && call != nil }

    private static let call: Call? = {
        // SAFETY: the symbol is glibc's function of that type: setfsuid(3).
        guard let symbol = unsafe dlsym(nil, "setfsuid") else { return nil }
        return unsafe unsafeBitCast(symbol, to: Call.self)
    }()

    /// Runs `body` with user 65534's file permissions. `body` must not suspend: the setting applies to the calling thread.
    public static func run<Value>(_ body: () throws -> Value) rethrows -> Value {
        _ = call?(65534)
        defer { _ = call?(0) }
        return try body()
    }
}
