// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMATestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The contract's rules on the CPU engine; its operations and peripherals have separate suites.
@Suite("Contract of the CPU engine", .serialized)
struct ContractTests {
    /// An arena for a copy of `count` bytes whose model is already that of the copy.
    static func copyArena(_ count: Int, _ random: inout Seeded) throws -> Arena {
        var arena = try Arena([count, count], &random)
        arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
        return arena
    }

    /// A copy that takes tens of milliseconds, and that workers share: a byte at a time.
    static func slowCopy(_ count: Int) -> Operation {
        .interleaved(template: InterleavedTemplate(frames: UInt32(count), chunk: 1))
    }

    @Test("rules 5 and 7: submit starts nothing, issuePending does", arguments: Setup.allCases)
    func rule05_rule07_submitOnlyQueues(setup: Setup) throws {
        var random = Seeded("rule05")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        let cookie = try channel.submit(.copy(), Self.copyArena(20_000, &random)).get()
        for _ in 0..<1000 {
            let isNone = channel.next() == nil
            check(isNone)
        }
        try check(channel.status(of: cookie) == .queued)
        try check(channel.residue(of: cookie) == 20_000)
        channel.issuePending()
        let finished = try channel.finish(cookie)
        check(finished.status == .complete && finished.cargo.difference == nil)
    }

    @Test("rule 9: the engine declares whether it completes in order, and inline it does")
    func rule09_order() throws {
        var random = Seeded("rule09")
        try check(CPUEngine(Setup.workers.configuration).capabilities.completesInOrder == false)
        try check(CPUEngine(Setup.inline.configuration).capabilities.completesInOrder)
        var channel = try Channel<CPUEngine, Arena>.make(Setup.inline.configuration)
        var cookies: [Cookie] = []
        for index in 0..<20 {
            cookies.append(try channel.submit(.copy(), Self.copyArena(index % 2 == 0 ? 40_000 : 10, &random)).get())
        }
        channel.issuePending()
        for cookie in cookies {
            var finished = channel.next()
            while finished == nil { finished = channel.next() }
            check(finished?.cookie == cookie)
        }
        check(channel.faults.total == 0)
    }

    @Test("rule 14: only a transaction with the interrupt flag wakes a waiter; polling finds the others")
    func rule14_interrupts() throws {
        var random = Seeded("rule14")
        var channel = try Channel<CPUEngine, Arena>.make(Setup.workers.configuration)
        check(channel.capabilities.hasInterrupts)
        let quiet = try channel.submit(.copy(), Self.copyArena(100_000, &random)).get()
        channel.issuePending()
        check(try channel.wait(until: .after(milliseconds: 30)) == false)
        check(channel.interruptCount == 0)
        try check(channel.finish(quiet).cargo.difference == nil)
        let loud = try channel.submit(.copy(flags: .interrupt), Self.copyArena(100_000, &random)).get()
        channel.issuePending()
        check(try channel.wait(until: .after(milliseconds: 5000)))
        check(channel.interruptCount == 1)
        try check(channel.finish(loud).cargo.difference == nil)
        // A completion that was taken wakes no waiter.
        check(try channel.wait(until: .after(milliseconds: 5)) == false)
    }

    @Test("rule 14, inline: wait does the work and stops at a transaction with the interrupt flag")
    func rule14_inline() throws {
        var random = Seeded("rule14 inline")
        var channel = try Channel<CPUEngine, Arena>.make(Setup.inline.configuration)
        check(!channel.capabilities.hasInterrupts)
        let first = try channel.submit(.copy(), Self.copyArena(9000, &random)).get()
        let second = try channel.submit(.copy(flags: .interrupt), Self.copyArena(30_000, &random)).get()
        let third = try channel.submit(.copy(), Self.copyArena(30_000, &random)).get()
        channel.issuePending()
        check(try channel.wait(until: .after(milliseconds: 5000)))
        try check(channel.status(of: third) != .complete)
        for cookie in [first, second, third] { try check(channel.finish(cookie).cargo.difference == nil) }
        check(try channel.wait(until: .after(milliseconds: 5)) == false)
        check(channel.faults.total == 0)
    }

    @Test("await: the worker's interrupt resumes a task")
    func await_interrupt() async throws {
        var random = Seeded("await")
        var channel = try Channel<CPUEngine, Arena>.make(Setup.workers.configuration)
        for _ in 0..<50 {
            let cookie = try channel.submit(.copy(flags: .interrupt), Self.copyArena(30_000, &random)).get()
            let finished = try await channel.finished(cookie)
            check(finished.status == .complete && finished.cargo.difference == nil)
        }
    }

    @Test("rules 16 and 18: a terminated large copy stops within a quantum, and is aborted once", arguments: Setup.allCases)
    func rule16_rule18_terminate(setup: Setup) throws {
        var random = Seeded("rule16")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        let count = 4 << 20
        let large = try channel.submit(Self.slowCopy(count), Self.copyArena(count, &random)).get()
        let later = try channel.submit(.copy(), Self.copyArena(100, &random)).get()
        channel.issuePending()
        var left = UInt64(count)
        while left == UInt64(count) { left = try channel.residue(of: large) }
        channel.terminateAsync()
        // Throws where it has not ended by then.
        try channel.synchronize(by: .after(milliseconds: 2000))
        var aborted = 0
        while let finished = channel.next() {
            if finished.cookie == large, finished.status == .aborted {
                aborted += 1
                check(finished.residue < UInt64(count))
                // Nothing moves any more: copied parts are complete, and the rest is unchanged.
                let before = finished.cargo.bytes(of: 1)
                var pause = timespec(tv_sec: 0, tv_nsec: 2_000_000)
                unsafe nanosleep(&pause, nil)
                check(finished.cargo.bytes(of: 1) == before)
            } else {
                check(finished.cookie == large || finished.cookie == later)
            }
        }
        check(aborted == 1)
        #expect(throws: DMAError.self) { try channel.status(of: large) }
        // The channel works again.
        try check(channel.run(.copy(), Self.copyArena(50_000, &random)).cargo.difference == nil)
        check(channel.faults.total == 0, "\(channel.faults)")
    }

    @Test("rule 19: a pause loses nothing and moves nothing", arguments: Setup.allCases)
    func rule19_pause(setup: Setup) throws {
        var random = Seeded("rule19")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        #expect(throws: DMAError.self) { try channel.resume() }
        let count = 4 << 20
        let cookie = try channel.submit(Self.slowCopy(count), Self.copyArena(count, &random)).get()
        channel.issuePending()
        while try channel.residue(of: cookie) == UInt64(count) {}
        try channel.pause()
        let left = try channel.residue(of: cookie)
        check(left > 0 && left < UInt64(count))
        for _ in 0..<200 {
            let isNone = channel.next() == nil
            check(isNone)
        }
        try check(channel.residue(of: cookie) == left)
        try check(channel.status(of: cookie) == .paused)
        try channel.resume()
        let finished = try channel.finish(cookie)
        check(finished.status == .complete && finished.cargo.difference == nil)
    }

    @Test("rule 18: a termination while paused", arguments: Setup.allCases)
    func rule18_terminateWhilePaused(setup: Setup) throws {
        var random = Seeded("rule18")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        let cookie = try channel.submit(Self.slowCopy(4 << 20), Self.copyArena(4 << 20, &random)).get()
        channel.issuePending()
        while try channel.residue(of: cookie) == 4 << 20 {}
        try channel.pause()
        try channel.terminateSync(by: .after(milliseconds: 2000))
        let finished = try channel.finish(cookie)
        check(finished.status == .aborted)
        try check(channel.run(.copy(), Self.copyArena(50_000, &random)).cargo.difference == nil)
    }

    @Test("rule 20: the residue decreases by quanta, to zero", arguments: Setup.allCases)
    func rule20_residue(setup: Setup) throws {
        var random = Seeded("rule20")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        let count = (2 << 20) + 100
        let cookie = try channel.submit(Self.slowCopy(count), Self.copyArena(count, &random)).get()
        channel.issuePending()
        var last = UInt64(count)
        var steps = 0
        while try channel.status(of: cookie) != .complete {
            let now = try channel.residue(of: cookie)
            check(now <= last)
            let moved = UInt64(count) - now
            check(now == 0 || moved % 4096 == 0 || moved % 4096 == 100)
            if now < last { steps += 1 }
            last = now
        }
        check(steps > 1)
        try check(channel.finish(cookie).residue == 0)
    }

    @Test("rule 24: a chain is extended while it runs, and after it has gone idle", arguments: Setup.allCases)
    func rule24_extension(setup: Setup) throws {
        var random = Seeded("rule24")
        var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
        check(channel.capabilities.extendsWhileRunning)
        var seen: Set<UInt64> = []
        for link in 0..<300 {
            _ = try channel.submit(.copy(), Self.copyArena(Int.random(in: 1..<9000, using: &random), &random)).get()
            channel.issuePending()
            // Now and then the chain goes idle, and the workers sleep.
            if link % 100 == 99 {
                while channel.inFlight > 0 {
                    guard let finished = channel.next() else { continue }
                    check(seen.insert(finished.cookie.rawValue).inserted)
                    check(finished.cargo.difference == nil)
                }
                var pause = timespec(tv_sec: 0, tv_nsec: 3_000_000)
                unsafe nanosleep(&pause, nil)
            }
            while channel.inFlight > 20 {
                guard let finished = channel.next() else { continue }
                check(seen.insert(finished.cookie.rawValue).inserted)
                check(finished.cargo.difference == nil)
            }
        }
        check(seen.count == 300)
    }

    @Test("a worker that is delayed past finished jobs neither stops the others nor runs a job twice")
    func lateWorkers() throws {
        var random = Seeded("late workers")
        // More workers than processors: some are always late. Each job is shared, and the depth is small.
        var configuration = CPUConfiguration(depth: 2, workers: 6)
        configuration.quantum = 4096
        configuration.inlineLimit = 0
        configuration.spin = 0
        var channel = try Channel<CPUEngine, Arena>.make(configuration)
        for _ in 0..<2 { _ = try channel.submit(.copy(), Self.copyArena(40_000, &random)).get() }
        channel.issuePending()
        var done = 0
        let deadline = Deadline.after(milliseconds: 20_000)
        while done < 3000, Deadline.now < deadline {
            guard let finished = channel.next() else { continue }
            done += 1
            check(finished.status == .complete && (done % 100 != 0 || finished.cargo.difference == nil))
            _ = try channel.submit(.copy(), finished.takeCargo()).get()
            channel.issuePending()
        }
        check(done == 3000)
        check(channel.faults.total == 0, "\(channel.faults)")
    }

    @Test("rule 26: work after a fence starts after it, without a poll", arguments: Setup.allCases)
    func rule26_fence(setup: Setup) throws {
        var random = Seeded("rule26")
        var channel = try Channel<CPUEngine, Window>.make(setup.configuration)
        for _ in 0..<20 {
            // Two regions of one memory, through two transactions: the second overwrites what the first wrote.
            let count = 200_000
            let shared = try Arena([count], &random)
            let region = shared.ranges[0]
            let first = try channel.submit(.fill(pattern: 0x1111_1111_1111_1111, flags: .fence), Window(region)).get()
            let second = try channel.submit(.fill(pattern: 0x2222_2222_2222_2222, flags: [.interrupt]), Window(region)).get()
            channel.issuePending()
            if setup != .inline { check(try channel.wait(until: .after(milliseconds: 5000))) }
            for cookie in [first, second] { _ = try channel.finish(cookie) }
            check(shared.bytes(of: 0).allSatisfy { $0 == 0x22 })
        }
        check(channel.faults.total == 0)
    }

    @Test("rule 1 and 18: a channel that ends with work in flight stops it first", arguments: Setup.allCases)
    func rule18_end(setup: Setup) throws {
        var random = Seeded("end")
        for _ in 0..<10 {
            var channel = try Channel<CPUEngine, Arena>.make(setup.configuration)
            for _ in 0..<8 { _ = try channel.submit(.copy(), Self.copyArena(300_000, &random)).get() }
            channel.issuePending()
            _ = channel.next()
        }
    }

    @Test("idle threads sleep, and use no processor time")
    func idleThreadsSleep() async {
        // In a separate process: here, other tests use processor time too.
        await #expect(processExitsWith: .success) {
            var random = Seeded("idle")
            var channel = try Channel<CPUEngine, Arena>.make(Setup.workers.configuration)
            guard try channel.run(.copy(), ContractTests.copyArena(100_000, &random)).cargo.difference == nil else { exit(2) }
            func spent() -> Int {
                var time = timespec()
                unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
                return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
            }
            // The minimum of several intervals: the test runner's own threads settle first.
            var least = Int.max
            for _ in 0..<20 where least > 2000 {
                let before = spent()
                var pause = timespec(tv_sec: 0, tv_nsec: 50_000_000)
                unsafe nanosleep(&pause, nil)
                least = min(least, spent() - before)
            }
            // The channel, and with it the threads, must live until here.
            guard channel.inFlight == 0, least <= 2000 else { exit(3) }
        }
    }

    @Test("workers stay on the CPUs they were given; unavailable CPUs are refused")
    func placement() throws {
        var random = Seeded("placement")
        var configuration = Setup.workers.configuration
        configuration.cpus = [0]
        var channel = try Channel<CPUEngine, Arena>.make(configuration)
        try check(channel.run(.copy(), Self.copyArena(100_000, &random)).cargo.difference == nil)
        configuration.cpus = [100_000]
        #expect(throws: DMAError(.badConfiguration, asked: 100_000, limit: 1024)) { _ = try CPUEngine(configuration) }
        configuration.cpus = []
        configuration.node = 4000
        #expect(throws: DMAError.self) { _ = try CPUEngine(configuration) }
        configuration.node = nil
        configuration.depth = 0
        #expect(throws: DMAError.self) { _ = try CPUEngine(configuration) }
    }
}
