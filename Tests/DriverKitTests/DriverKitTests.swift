// SPDX-License-Identifier: Apache-2.0

import DMADriverKit
import DMAThreads
import Testing

/// One test after the other: some count the process's open descriptors and mappings.
@Suite("DriverKit", .serialized)
enum DriverKitTests {}

/// A thread of a test, which may fail.
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

    /// Waits for its end: returns its error, if any.
    func end() -> String? {
        thread.join()
        return outcome.failure.withLock { $0 }
    }
}
