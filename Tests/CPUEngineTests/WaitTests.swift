// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import Foundation
import Testing

/// Waits for events that a client forgot to request: they end, and sleep until then.
@Suite("Waiting", .timeLimit(.minutes(15)))
struct WaitTests {
    let domain = Domain(name: "waiting")

    private func buffer(_ count: Int = 4096) throws(DMAError) -> MappedBuffer {
        try Buffer(count: count).mapped(for: domain, direction: .bidirectional)
    }

    private func channel(_ setup: Setup) throws(DMAError) -> Channel<CPUEngine, MappedBuffer> {
        try Channel(CPUEngine(setup.configuration), domain: domain, of: MappedBuffer.self)
    }

    enum Way: CaseIterable { case drain, finished }

    @Test("a wait on a paused channel is an error and does not block for ever", arguments: Setup.allCases, Way.allCases)
    func paused(setup: Setup, way: Way) async throws {
        var channel = try channel(setup)
        try channel.pause()
        let cookie = try channel.submit(.fill(pattern: 7, flags: .interrupt), try buffer()).get()
        channel.issuePending()
        for _ in 0..<2 {
            do throws(DMAError) {
                switch way {
                case .finished: _ = try await channel.finished(cookie)
                case .drain: try await channel.drain { (_, _) throws(DMAError) in true }
                }
                Issue.record("the wait ended without an error")
            } catch { #expect(error.code == .paused) }
        }
        try channel.resume()
        #expect(try await channel.finished(cookie).status == .complete)
    }

    @Test(
        "a wait of one second without the interrupt flag costs less than a twentieth of a processor",
        arguments: Way.allCases)
    func quietWait(way: Way) async throws {
        let wire = try FIFOPeripheral()
        var configuration = CPUConfiguration(depth: 8, workers: 1)
        configuration.peripherals = [wire]
        let engine = try CPUEngine(configuration)
        let box = Handed(try Channel(engine, domain: domain, of: MappedBuffer.self))
        let memory = Handed(try buffer())
        let thread = OneThread()
        defer { thread.stop() }
        let late = Task.detached {
            try? await Task.sleep(nanoseconds: 1_000_000_000)
            wire.deliver(Array(repeating: 7, count: 4096)[...])
        }
        let used = try await Task(executorPreference: thread) { () async throws -> (cpu: Double, time: Double, complete: Int) in
            var channel = box.take()
            try channel.configure(EngineConfiguration())
            let cookie = try channel.submit(.fromPeripheral(0..<1), memory.take()).get()
            let (cpu, time) = (Clock.thread, Clock.monotonic)
            var complete = 0
            switch way {
            case .finished: complete = try await channel.finished(cookie).status == .complete ? 1 : 0
            case .drain:
                try await channel.drain { finished, _ in
                    complete += finished.status == .complete ? 1 : 0
                    return true
                }
            }
            return (Clock.thread - cpu, Clock.monotonic - time, complete)
        }.value
        await late.value
        #expect(used.complete == 1)
        #expect(used.time > 0.9, "the wait was not what this is about")
        // A ratio: on a busy machine the wait is longer.
        #expect(used.cpu < used.time / 20, "\(used.cpu) s of a processor in \(used.time) s")
    }

    @Test("a wait issues queued work", arguments: Setup.allCases, Way.allCases)
    func forgottenIssue(setup: Setup, way: Way) async throws {
        for flags in [DescriptorFlags(), .interrupt] {
            var channel = try channel(setup)
            let first = try channel.submit(.fill(pattern: 1, flags: flags), try buffer(100_000)).get()
            _ = try channel.submit(.fill(pattern: 2), try buffer()).get()
            var seen = 0
            switch way {
            case .finished:
                let status = try await channel.finished(first).status
                #expect(status == .complete)
            case .drain:
                try await channel.drain { finished, _ in
                    seen += finished.status == .complete ? 1 : 0
                    return true
                }
                #expect(seen == 2)
            }
        }
    }

    @Test("with nothing in flight a drain returns, also where everything was taken before", arguments: Setup.allCases)
    func nothing(setup: Setup) async throws {
        var channel = try channel(setup)
        try await channel.drain { (_, _) throws(DMAError) in true }
        let cookie = try channel.submit(.fill(pattern: 1, flags: .interrupt), try buffer()).get()
        _ = try await channel.finished(cookie)
        try await channel.drain { (_, _) throws(DMAError) in true }
        #expect(channel.inFlight == 0)
    }

    @Test("a drain's body submits more without an issue or an interrupt, and all of it completes", arguments: Setup.allCases)
    func refill(setup: Setup) async throws {
        var channel = try channel(setup)
        var left = 200
        _ = try channel.submit(.fill(pattern: 1), try buffer(70_000)).get()
        var seen = 0
        try await channel.drain { finished, channel throws(DMAError) in
            seen += 1
            guard left > 0 else { return true }
            left -= 1
            _ = try channel.submit(.fill(pattern: 1, flags: left % 3 == 0 ? .interrupt : []), finished.takeCargo()).get()
            return true
        }
        #expect(seen == 201)
    }

    @Test("a drain of a terminated channel is an error and does not block for ever")
    func terminated() async throws {
        var channel = try channel(.workers)
        _ = try channel.submit(.fill(pattern: 1), try buffer()).get()
        channel.terminateAsync()
        do throws(DMAError) {
            try await channel.drain { (_, _) throws(DMAError) in true }
            Issue.record("drained")
        } catch { #expect(error.code == .terminating) }
        try channel.synchronize()
        var statuses: [TransactionStatus] = []
        try await channel.drain { finished, _ in
            statuses.append(finished.status)
            return true
        }
        #expect(statuses == [.aborted])
    }

    private struct Own: Error, Equatable { let number: Int }

    @Test("a drain's body throws its own error, and the channel continues", arguments: Setup.allCases)
    func ownError(setup: Setup) async throws {
        var channel = try channel(setup)
        for _ in 0..<2 { _ = try channel.submit(.fill(pattern: 1), try buffer()).get() }
        await #expect(throws: Own(number: 7)) {
            try await channel.drain { finished, _ in
                let number = finished.status == .complete ? 7 : 0
                throw Own(number: number)
            }
        }
        var seen = 0
        try await channel.drain { _, _ in
            seen += 1
            return true
        }
        #expect(seen == 1)
    }
}

private enum Clock {
    private static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        // SAFETY: the call writes the local structure.
        unsafe clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    static var thread: Double { seconds(CLOCK_THREAD_CPUTIME_ID) }
    static var monotonic: Double { seconds(CLOCK_MONOTONIC) }
}

/// Runs tasks on one thread of its own, whose processor time can be read.
private final class OneThread: TaskExecutor, @unchecked Sendable {
    private let line = InterruptLine()
    private let lock = NSLock()
    private var jobs: [UnownedJob] = []
    private var isOver = false

    init() {
        Thread.detachNewThread { [self] in
            while true {
                let seen = line.count
                let (job, isOver) = lock.withLock { (jobs.isEmpty ? nil : jobs.removeFirst(), self.isOver) }
                if let job {
                    // The thread holds the executor for as long as it runs.
                    unsafe job.runSynchronously(on: asUnownedTaskExecutor())
                } else if isOver {
                    return
                } else {
                    _ = line.wait(after: seen, until: .after(milliseconds: 1000))
                }
            }
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        lock.withLock { jobs.append(job) }
        line.raise()
    }

    func stop() {
        lock.withLock { isOver = true }
        line.raise()
    }
}

/// Passes one noncopyable value to a task.
private final class Handed<Value: ~Copyable>: @unchecked Sendable {
    private var value: Value?
    init(_ value: consuming Value) { self.value = consume value }
    func take() -> Value { value.take()! }
}
