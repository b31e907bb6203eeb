// SPDX-License-Identifier: Apache-2.0

import DMACore
import Testing

@Suite("Requests to stop")
struct StopRequestTests {
    @Test("every waiter is resumed by the stop, before and after it")
    func waits() async {
        let request = StopRequest()
        #expect(!request.isStopped)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 { group.addTask { await request.wait() } }
            request.stop()
            for await heard in group { #expect(heard) }
        }
        request.stop()
        #expect(request.isStopped)
        #expect(await request.wait())
    }

    @Test("a cancelled wait ends, and is not a stop")
    func cancelled() async {
        let request = StopRequest()
        let waiter = Task { await request.wait() }
        waiter.cancel()
        #expect(await !waiter.value)
        #expect(!request.isStopped)
    }
}
