// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on modes, as a program: the chapter contains each marked region verbatim.

import DMACPUEngine
import DMACore

func burst(_ domain: Domain) throws(DMAError) {
    // snippet: burst
    var channel = try Channel(PacedEngine(CPUEngine(), mode: .burst), domain: domain, of: MappedBuffer.self)
    let memory = try Buffer(count: 1 << 20).mapped(for: domain, direction: .fromDevice)
    let cookie = try channel.submit(.fill(pattern: 0), memory).get()
    channel.issuePending()
    while try channel.status(of: cookie) != .complete {}
    // end
    print("burst: all at once")
}

func steal(_ domain: Domain) throws(DMAError) {
    // snippet: cycle-stealing
    let paced = try PacedEngine(CPUEngine(), mode: .cycleStealing(share: 0.25), quantum: 64 << 10)
    var channel = try Channel(paced, domain: domain, of: MappedBuffer.self)
    let memory = try Buffer(count: 16 << 20).mapped(for: domain, direction: .fromDevice)
    let began = Deadline.now
    let cookie = try channel.submit(.fill(pattern: 0), memory).get()
    channel.issuePending()
    while try channel.status(of: cookie) != .complete {
        // Between quanta the processor is free for other threads, so this one sleeps.
        _ = try channel.wait(until: .after(milliseconds: 100))
    }
    print("cycle stealing: \((Deadline.now.nanoseconds - began.nanoseconds) / 1000) µs at a quarter of the time")
    // end
}

func demand(_ domain: Domain) throws(DMAError) {
    // snippet: demand
    let line = DemandLine()
    let paced = try PacedEngine(CPUEngine(), mode: .demand(line), quantum: 4096)
    var channel = try Channel(paced, domain: domain, of: MappedBuffer.self)
    let memory = try Buffer(count: 64 << 10).mapped(for: domain, direction: .fromDevice)
    let cookie = try channel.submit(.fill(pattern: 0), memory).get()
    channel.issuePending()
    var requests = 0
    while try channel.status(of: cookie) != .complete {
        // The other side requests that many bytes, and only those are moved.
        if line.requested == 0 {
            line.request(8192)
            requests += 1
        }
    }
    print("demand: \(requests) requests of 8192 bytes")
    // end
}

func deadline(_ domain: Domain) throws(DMAError) {
    // snippet: deadline
    let paced = try PacedEngine(CPUEngine(), mode: .cycleStealing(share: 0.01), quantum: 64 << 10)
    var channel = try Channel(paced, domain: domain, of: MappedBuffer.self)
    let memory = try Buffer(count: 4 << 20).mapped(for: domain, direction: .fromDevice)
    let late = Transaction(.fill(pattern: 0), memory, deadline: .after(nanoseconds: 1000))
    _ = try channel.submit(late).get()
    channel.issuePending()
    var report = channel.nextLate()
    while report == nil { report = channel.nextLate() }
    if let report { print("late, with \(report.residue > 0 ? "bytes" : "nothing") left to move; not stopped for it") }
    try channel.terminateSync()
    // end
}

let domain = Domain(name: "example")
try burst(domain)
try steal(domain)
try demand(domain)
try deadline(domain)
print("modes: the same channel, four ways to take turns")
