// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Calls of the public interface with values at the ends of their ranges. None traps; a refusal is acceptable.
///
/// Each is announced before it is made, so that one that ends the process can be identified.
public struct Probe {
    private let first: Int
    private let announce: (Int, String) -> Void
    private var number = 0

    private init(_ first: Int, _ announce: @escaping (Int, String) -> Void) {
        self.first = first
        self.announce = announce
    }

    /// Makes every call from number `first` on. Returns their number.
    public static func run(from first: Int, _ announce: @escaping (Int, String) -> Void) -> Int {
        var probe = Probe(first, announce)
        probe.values()
        probe.memory()
        probe.places()
        probe.foreign()
        probe.mappings()
        probe.channels()
        probe.waits()
        probe.calls()
        probe.engines()
        probe.copies()
        probe.benches()
        return probe.number
    }

    /// One call.
    mutating func callAsFunction(_ name: @autoclosure () -> String, _ body: () throws -> Void) {
        if number >= first {
            announce(number, name())
            try? body()
        }
        number += 1
    }

    /// Runs asynchronous calls to their end.
    static func wait(_ body: @escaping @Sendable () async throws -> Void) {
        let isOver = DispatchSemaphore(value: 0)
        Task.detached {
            try? await body()
            isOver.signal()
        }
        isOver.wait()
    }

    static let integers = [Int.min, -1, 0, 1, 63, 1 << 32, .max - 1, .max]
    static let words = [UInt64(0), 1, 63, 1 << 32, 1 << 63, .max - 1, .max]
    static let times = [Int64.min, .min + 1, -1, 0, 1, .max - 1, .max]
    static let reals = [
        -Double.infinity, -.greatestFiniteMagnitude, -1, -0.0, 0, .leastNonzeroMagnitude, 1e-300, 0.5, 1, 1e19,
        .greatestFiniteMagnitude,
        .infinity, .nan,
    ]
}
