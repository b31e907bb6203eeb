// SPDX-License-Identifier: Apache-2.0

import CountedRing
import DMACore
import DMAEngineKit
import ScriptedEngines
import Synchronization

/// Serves `operations` transactions; each waits until the loop, without other work, raises the interrupt.
func serve(_ line: InterruptLine, _ operations: UInt64) async throws(DMAError) -> UInt64 {
    let domain = Domain(name: "counted")
    let memory = try Buffer(count: 4 * 4096).mapped(for: domain, direction: .bidirectional)
    var pool = try Pool(memory, blockSize: 4096)
    var channel = try Channel(LineEngine(entries: Int(depth), line: line), domain: domain, of: Block.self)
    guard let first = pool.lease() else { return 0 }
    _ = try channel.submit(.fill(pattern: 0x5a5a, flags: .interrupt), first).get()
    channel.issuePending()
    var last: UInt64 = 0
    try await channel.drain { finished, channel throws(DMAError) in
        last = finished.cookie.rawValue
        guard last < operations else { return false }
        _ = try channel.submit(.fill(pattern: 0x5a5a, flags: .interrupt), finished.takeCargo()).get()
        channel.issuePending()
        return true
    }
    return last
}

/// The same by one `await` for each transaction.
func awaitEach(_ line: InterruptLine, _ operations: UInt64) async throws(DMAError) -> UInt64 {
    let domain = Domain(name: "counted")
    let memory = try Buffer(count: 4 * 4096).mapped(for: domain, direction: .bidirectional)
    var pool = try Pool(memory, blockSize: 4096)
    var channel = try Channel(LineEngine(entries: Int(depth), line: line), domain: domain, of: Block.self)
    var last: UInt64 = 0
    while last < operations {
        guard let block = pool.lease() else { return 0 }
        let cookie = try channel.submit(.fill(pattern: 0x5a5a, flags: .interrupt), block).get()
        last = try await channel.finished(cookie).cookie.rawValue
    }
    return last
}

func runSuspending(_ operations: UInt64, serving: Bool) -> UInt64 {
    counted_loop_install()
    let line = InterruptLine()
    let result = Mutex<UInt64?>(nil)
    Task {
        let last = try? await serving ? serve(line, operations) : awaitEach(line, operations)
        result.withLock { $0 = last ?? 0 }
    }
    // Where no job is ready, the task is suspended, and the interrupt makes it ready.
    while true {
        while counted_loop_run_one() {}
        if let last = result.withLock({ $0 }) { return last }
        line.raise()
    }
}
