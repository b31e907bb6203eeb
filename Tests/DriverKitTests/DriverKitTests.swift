// SPDX-License-Identifier: Apache-2.0

import DMADriverKit
import DMAThreads
import Testing

/// One test after the other: some count what the process has open and mapped.
@Suite("DriverKit", .serialized)
enum DriverKitTests {}

/// A thread of a test's, which may fail.
final class Worker: Sendable {
    private final class Outcome: Sendable {
        let failure = Locked<String?>(nil)
    }
    private let outcome = Outcome()
    private let thread: NativeThread

    init(_ body: @escaping @Sendable () throws -> Void) throws(DMAError) {
        let outcome = outcome
        thread = try NativeThread {
            do { try body() } catch { outcome.failure.withLock { $0 = "\(error)" } }
        }
    }

    /// Waits for its end: what it failed by, if anything.
    func end() -> String? {
        thread.join()
        return outcome.failure.withLock { $0 }
    }
}
