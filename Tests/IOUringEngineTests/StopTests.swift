// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

@Suite("Engines on threads that end as soon as they were made", .serialized)
struct StopTests {
    /// A worker that looked for the stop, and then for the doorbell's number, slept for an hour where both came in between: about one engine in some
    /// hundred thousand, under the thread sanitizer.
    @Test("their workers end too")
    func ends() async throws {
        let done = Date() + 3
        let rounds = try await Task.detached {
            var rounds = 0
            // On a busy machine the time may be over before this task begins.
            repeat {
                for _ in 0..<100 { _ = try IOUringEngine(Carrying.threads.configuration(depth: 8)) }
                rounds += 100
            } while Date() < done
            return rounds
        }.value
        #expect(rounds >= 100)
    }
}
