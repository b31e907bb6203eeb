// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Makes the calling thread reach files as the user nobody, as long as the process is root's: setfsuid(2) takes the capabilities over files too.
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

    /// Runs `body` with the rights of nobody over files. It must not suspend: the setting is the thread's.
    public static func run<Value>(_ body: () throws -> Value) rethrows -> Value {
        _ = call?(65534)
        defer { _ = call?(0) }
        return try body()
    }
}
